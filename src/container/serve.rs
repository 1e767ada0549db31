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

/// Mounts `files` at the plan's root, runs the plan in it, and unmounts. The process must have one thread.
///
/// The mount appears in this process's mount namespace. If that is private, no other process sees the mount, and it
/// ends with this process. `started` is called with the container's first process before it runs the command.
///
/// # Errors
/// The command could not start, or the mount failed. The command's own failure is a [`Status`].
pub fn run(
    files: &mount::Prepared,
    mut plan: Plan,
    started: impl FnOnce(Option<ProcessId>),
) -> Result<Status, RunError> {
    let at = plan.root.clone();
    plan.virtual_ids &= files.has_one_owner();
    let launched = Launched::new(plan)?;
    let served = files.serve(&at)?;
    let status = launched.connected().and_then(|mut launched| {
        launched.record_owners_in(served.direct())?;
        started(launched.process());
        launched.run()
    });
    // No process uses the mount any more, so this also writes back what the kernel still caches.
    let served = served.end();
    // An error of the container explains more than one of the mount.
    let status = status?;
    served?;
    Ok(status)
}
