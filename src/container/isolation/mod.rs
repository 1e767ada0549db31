//! Isolation from the host's kernel besides namespaces: capabilities, system calls, devices, masks.
//!
//! Owns the defaults, which are docker's unless stated otherwise, and the options that change them.
#![doc = include_str!("isolation.md")]

pub(super) mod devices;
pub(super) mod masks;
mod option;
mod seccomp;

pub use devices::{Device, DeviceError};
pub use option::{SecurityOption, SecurityOptionError};
pub use seccomp::{FilterError, Profile, ProfileError, Seccomp};
pub(super) use seccomp::{HandOver, When, call_number, handing_over};

use serde::{Deserialize, Serialize};

use super::plan::{Isolation, Network, Sandbox};
use crate::sys::Capabilities;

/// The security settings of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// Turns isolation off: every capability, no masks, no default filter, device nodes work.
    pub privileged: bool,
    /// Set-id programs and file capabilities grant nothing.
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    /// Devices of the host that the container gets in addition to the default ones.
    pub devices: Vec<Device>,
}

impl Security {
    /// Applies one `--security-opt` option.
    ///
    /// # Errors
    /// A profile that cannot be read.
    pub fn set(&mut self, option: SecurityOption) -> Result<(), ProfileError> {
        match option {
            SecurityOption::NoNewPrivileges(set) => self.no_new_privileges = set,
            SecurityOption::Unconfined => self.seccomp = Seccomp::Unconfined,
            SecurityOption::Builtin => self.seccomp = Seccomp::Default,
            SecurityOption::Profile(path) => self.seccomp = Seccomp::Profile(Profile::read(&path)?),
        }
        Ok(())
    }

    /// The values of `--security-opt` that mean these settings.
    pub fn options(&self) -> Vec<String> {
        let no_new_privileges = self.no_new_privileges.then(|| "no-new-privileges".into());
        let seccomp = match &self.seccomp {
            Seccomp::Default => None,
            Seccomp::Unconfined => Some("seccomp=unconfined".into()),
            Seccomp::Profile(profile) => serde_json::to_string(profile).ok().map(|json| format!("seccomp={json}")),
        };
        no_new_privileges.into_iter().chain(seccomp).collect()
    }

    /// The system call filter: none for a privileged container, unless the user gave a profile.
    pub(super) fn filter(&self) -> &Seccomp {
        match &self.seccomp {
            Seccomp::Default if self.privileged => &Seccomp::Unconfined,
            asked => asked,
        }
    }

    /// Whether device nodes in the image, in volumes or made by programs can be opened.
    pub(super) fn allows_nodes(&self) -> bool {
        self.privileged
    }

    /// The capabilities of the container's root. Docker's set without two: no device nodes may be made, because no
    /// device cgroup limits which; and no raw packets on the host's network.
    pub(super) fn capabilities(&self, isolation: &Isolation) -> Capabilities {
        if self.privileged {
            return Capabilities::ALL;
        }
        let set = Capabilities::CONTAINER.without(Capabilities::MAKE_NODES);
        match isolation {
            Isolation::Namespaces(Sandbox { network: Network::None, .. }) => set,
            Isolation::Namespaces(Sandbox { network: Network::Host, .. }) | Isolation::Chroot => {
                set.without(Capabilities::RAW_PACKETS)
            }
        }
    }
}
