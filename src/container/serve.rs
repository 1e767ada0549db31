//! A container over files of its own: mounted, served while the container runs, and unmounted.

use super::error::LaunchError;
use super::launch::Launched;
use super::plan::Plan;
use crate::mount;
use crate::sys::process::Status;

/// Why a container did not run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Mount(#[from] mount::Error),
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

/// Mounts `files` at the plan's root, runs the plan in it, and unmounts. For a process with one thread.
///
/// The mount is seen in this process's mount namespace: in one of its own, by nobody else, and it is gone with it.
///
/// # Errors
/// What kept the command from starting; how it ends is no error.
pub fn run(files: &mount::Prepared, plan: Plan) -> Result<Status, RunError> {
    let at = plan.root.clone();
    let launched = Launched::new(plan)?;
    let served = files.serve(&at)?;
    let status = launched.run();
    // What programs wrote, and the kernel has not passed on, arrives before this returns: all users are gone.
    let served = served.end();
    // How the container fared says more than how its files did.
    let status = status?;
    served?;
    Ok(status)
}
