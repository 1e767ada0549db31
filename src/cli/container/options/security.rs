//! Options about what the container may do to the host.

use anyhow::Result;
use clap::Args;

use crate::container::{CapabilityName, Device, DeviceRule, Security, SecurityOption};

#[derive(Debug, Args)]
pub(in crate::cli::container) struct SecurityArgs {
    /// Show a device of this host in the container; RIGHTS are some of r, w and m
    #[arg(long = "device", value_name = "SOURCE[:TARGET][:RIGHTS]", conflicts_with = "chroot")]
    devices: Vec<Device>,
    /// Let the container use devices that it makes nodes of, as in 'c 10:229 rw'
    #[arg(long = "device-cgroup-rule", value_name = "RULE")]
    device_rules: Vec<DeviceRule>,
    /// Give root in the container a capability, such as NET_ADMIN, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<CapabilityName>,
    /// Take a capability from root in the container, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<CapabilityName>,
    /// Add the user to a group: a name from the image's /etc/group, or a number
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// `no-new-privileges`; `seccomp=FILE`, a filter of system calls in docker's JSON, or `seccomp=unconfined`;
    /// `mask=PATHS`, `unmask=PATHS`, `unmask=ALL` or `systempaths=unconfined` for parts of /proc and /sys
    #[arg(long = "security-opt", value_name = "OPTION")]
    security_options: Vec<SecurityOption>,
    /// Give the container every capability, working device nodes, and all of /proc and /sys
    #[arg(long)]
    privileged: bool,
}

impl SecurityArgs {
    /// # Errors
    /// A seccomp profile cannot be read.
    pub(in crate::cli::container) fn security(&self) -> Result<Security> {
        let mut security = Security {
            privileged: self.privileged,
            devices: self.devices.clone(),
            device_rules: self.device_rules.clone(),
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            group_add: self.group_add.clone(),
            ..Security::default()
        };
        for option in &self.security_options {
            security.set(option.clone())?;
        }
        Ok(security)
    }
}
