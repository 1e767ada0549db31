//! What a container may use: the limits of its cgroup and of its processes, and the kernel's settings in its namespaces.

mod sysctl;
mod ulimit;

pub use sysctl::{Sysctl, SysctlError};
pub use ulimit::{Ulimit, UlimitError};

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::cgroup::Limits;
use super::error::{Doing, LaunchError};
use super::network::Attachment;
use super::plan::Sandbox;
use crate::sys;

/// The resource settings of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    pub limits: Limits,
    /// The cgroup in which the container's cgroup is made; `None` for that of the launcher.
    pub cgroup_parent: Option<String>,
    pub ulimits: Vec<Ulimit>,
    /// How likely the kernel kills the container's processes when memory runs out: -1000 (never) to 1000.
    pub oom_score_adj: Option<i32>,
    pub sysctls: Vec<Sysctl>,
}

impl Resources {
    /// Sets the limits of this process, which its children inherit.
    ///
    /// # Errors
    /// A limit is raised without the right to do so.
    pub(super) fn set_ulimits(&self) -> Result<(), LaunchError> {
        for ulimit in &self.ulimits {
            ulimit.set().doing(format!("set --ulimit {ulimit}: raising a hard limit needs CAP_SYS_RESOURCE"))?;
        }
        Ok(())
    }

    /// Sets the settings of the kernel in this process's namespaces. The host's `/proc` must be mounted.
    ///
    /// # Errors
    /// A setting belongs to a namespace of the host, or the kernel refuses it.
    pub(super) fn set_sysctls(&self, sandbox: &Sandbox) -> Result<(), LaunchError> {
        for sysctl in &self.sysctls {
            let is_own = match sysctl.of() {
                Some(sysctl::Of::Ipc) => true,
                Some(sysctl::Of::Network) => !matches!(sandbox.network, Attachment::Host | Attachment::Joined(_)),
                None => false,
            };
            if !is_own {
                return Err(LaunchError::HostSysctl(sysctl.name.clone()));
            }
            let written = fs::write(Path::new("/proc/sys").join(sysctl.path()), &sysctl.value);
            written.doing(format!("set --sysctl {}={}", sysctl.name, sysctl.value))?;
        }
        Ok(())
    }

    /// Sets the score by which the kernel chooses what to kill when memory runs out.
    ///
    /// # Errors
    /// The score is lowered without the right to do so.
    pub(super) fn set_oom_score(&self) -> Result<(), LaunchError> {
        if let Some(score) = self.oom_score_adj {
            sys::set_oom_score(score)
                .doing(format!("set --oom-score-adj {score}: lowering it needs CAP_SYS_RESOURCE"))?;
        }
        Ok(())
    }
}
