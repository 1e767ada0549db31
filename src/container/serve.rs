//! Runs a container: mounts its files, serves them while it runs, and unmounts them.

use super::error::LaunchError;
use super::launch::Launched;
use super::plan::Plan;
use crate::mount;
use crate::sys::process::{ProcessId, Status};

/// Why a container did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Mount(#[from] mount::Error),
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub status: Status,
    /// Whether the kernel killed a process of the container because its memory was used up.
    pub out_of_memory: bool,
}

/// Mounts `files` at the plan's root, runs the plan in it, and unmounts. The process must have one thread.
///
/// The mount appears in this process's mount namespace. If that is private, no other process sees the mount, and it
/// ends with this process. `started` is called with the container's first process before it runs the command.
///
/// # Errors
/// The command could not start, or the mount failed. The command's own failure is in [`Ended`].
pub fn run(files: &mount::Prepared, plan: Plan, started: impl FnOnce(Option<ProcessId>)) -> Result<Ended, RunError> {
    let at = plan.root.clone();
    let launched = Launched::new(plan)?;
    let served = files.serve(&at)?;
    started(launched.process());
    let cgroup = launched.cgroup();
    let status = launched.run();
    let out_of_memory = cgroup.ran_out_of_memory();
    drop(cgroup);
    // No process uses the mount any more, so this also writes back what the kernel still caches.
    let served = served.end();
    // An error of the container explains more than one of the mount.
    let status = status?;
    served?;
    Ok(Ended { status, out_of_memory })
}
