//! Options about what the container may do to the host.

use anyhow::Result;
use clap::Args;

use crate::container::{Device, Security, SecurityOption};

#[derive(Debug, Args)]
pub(in crate::cli::container) struct SecurityArgs {
    /// Show a device of this host in the container
    #[arg(long = "device", value_name = "SOURCE[:TARGET]", conflicts_with = "chroot")]
    devices: Vec<Device>,
    /// `no-new-privileges`; `seccomp=FILE`, a filter of system calls in docker's JSON; or `seccomp=unconfined`
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
        let devices = self.devices.clone();
        let mut security = Security { privileged: self.privileged, devices, ..Security::default() };
        for option in &self.security_options {
            security.set(option.clone())?;
        }
        Ok(security)
    }
}
