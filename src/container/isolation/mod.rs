//! What stands between a container and the host's kernel beside namespaces: capabilities, devices, masks, keys.
//!
//! Owns the defaults, which are docker's where nothing else is said, and what turns them off.
#![doc = include_str!("isolation.md")]

pub(super) mod devices;
pub(super) mod masks;
mod option;
mod seccomp;

pub use devices::{Device, DeviceError};
pub use option::{SecurityOption, SecurityOptionError};
pub use seccomp::{FilterError, Profile, ProfileError, Seccomp};

use super::plan::{Isolation, Network, Sandbox};
use crate::sys::Capabilities;

/// How far a container is kept from the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// All that is below is off: every capability, no masks, device nodes work.
    pub privileged: bool,
    /// Set-id programs and file capabilities give nothing.
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    /// Devices of the host that the container has beside the usual ones.
    pub devices: Vec<Device>,
}

impl Security {
    /// Takes an option of `--security-opt` into account.
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

    /// What filters system calls: nothing where all is allowed, unless a profile is asked for.
    pub(super) fn filter(&self) -> &Seccomp {
        match &self.seccomp {
            Seccomp::Default if self.privileged => &Seccomp::Unconfined,
            asked => asked,
        }
    }

    /// Whether the device nodes of an image, a volume or a program work.
    pub(super) fn allows_nodes(&self) -> bool {
        self.privileged
    }

    /// What root may do. Docker's set, but for two: nobody makes device nodes, since no device cgroup limits which; and on
    /// the host's network nobody sends or reads raw packets.
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
