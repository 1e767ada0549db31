//! Isolation from the host's kernel besides namespaces: capabilities, system calls, devices, masks.
//!
//! Owns the defaults, which are docker's unless stated otherwise, and the options that change them.
#![doc = include_str!("isolation.md")]

mod capability;
pub(super) mod devices;
pub(super) mod masks;
mod option;
mod seccomp;

pub use capability::{CapabilityError, CapabilityName};
pub use devices::{Device, DeviceError};
pub use option::{SecurityOption, SecurityOptionError};
pub use seccomp::{FilterError, Profile, ProfileError, Seccomp};
pub(super) use seccomp::{HandOver, When, call_number, handing_over};

use serde::{Deserialize, Serialize};

pub(super) use masks::MaskChanges;

use super::cgroup::DeviceRule;
use super::error::{Doing, LaunchError};
use crate::sys::{self, Capabilities};

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
    /// Devices that the container may use in addition, once it has nodes of them.
    pub device_rules: Vec<DeviceRule>,
    pub cap_add: Vec<CapabilityName>,
    pub cap_drop: Vec<CapabilityName>,
    /// Supplementary groups: names of the image's `/etc/group`, or numbers.
    pub group_add: Vec<String>,
    pub masks: MaskChanges,
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
            SecurityOption::UnconfinedPaths => self.masks.remove(None),
            SecurityOption::Mask(paths) => self.masks.add(paths),
            SecurityOption::Unmask(paths) => self.masks.remove(paths),
            SecurityOption::NoLabel => {}
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
        no_new_privileges.into_iter().chain(seccomp).chain(self.masks.options()).collect()
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

    /// The capabilities of the container's root: docker's default set, and what the user adds and drops. On a network that
    /// leads anywhere, raw packets must be asked for: on a private one they would reach the host's loopback interface,
    /// because the programs that connect it take any address from a packet. Device nodes must be asked for where nothing
    /// limits which of them work. `alone` tells that the network leads nowhere.
    ///
    /// # Errors
    /// Device nodes are asked for, and root of the host could open any.
    pub(super) fn capabilities(&self, alone: bool, nodes: Nodes) -> Result<Capabilities, LaunchError> {
        if self.privileged {
            return Ok(Capabilities::ALL);
        }
        let mut set = Capabilities::CONTAINER;
        if nodes == Nodes::Unlimited {
            set = set.without(Capabilities::MAKE_NODES);
        }
        if !alone {
            set = set.without(Capabilities::RAW_PACKETS);
        }
        let set = capability::changed(set, &self.cap_add, &self.cap_drop);
        if set.contains(Capabilities::MAKE_NODES) && nodes == Nodes::Unlimited && sys::is_root_of_host() {
            return Err(LaunchError::NodesUnlimited);
        }
        Ok(set)
    }

    /// Checks that this process has what is to be added, because it cannot give what it does not have.
    ///
    /// # Errors
    /// It lacks one.
    pub(super) fn check_additions(&self) -> Result<(), LaunchError> {
        let own = Capabilities::of_this_process().doing("look at the capabilities")?;
        let named = self.cap_add.iter().filter_map(|name| match name {
            CapabilityName::All => None,
            CapabilityName::One(name) => Some(name),
        });
        match named.into_iter().find(|name| !own.has(name)) {
            Some(name) if !self.privileged => Err(LaunchError::CapabilityMissing(name.clone())),
            _ => Ok(()),
        }
    }
}

/// Whether something limits which device nodes a container can open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::container) enum Nodes {
    /// Its cgroup does.
    Limited,
    Unlimited,
}
