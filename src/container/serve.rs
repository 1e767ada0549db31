//! A container over a union of its own: mounted, served while the container runs, and unmounted.

use std::io;
use std::path::Path;
use std::thread;

use super::error::LaunchError;
use super::launch::Launched;
use super::plan::Plan;
use crate::fuse::{self, MountError, Session};
use crate::sys::process::{self, Status};
use crate::union::{self, OpenError, Union};

/// Why a container did not run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error("cannot serve the container's files: {0}")]
    Serve(#[source] io::Error),
}

/// Mounts `layers` at the plan's root, runs the plan in it, and unmounts. For a process with one thread.
///
/// The mount is seen in this process's mount namespace: in one of its own, by nobody else, and it is gone with it.
///
/// # Errors
/// What kept the command from starting; how it ends is no error.
pub fn run(layers: &union::Spec, options: &fuse::Options, plan: Plan) -> Result<Status, RunError> {
    let at = plan.root.clone();
    let launched = Launched::new(plan)?;
    // What programs create gets the mode that they ask for, less their own mask.
    process::set_umask(0);
    let session = Session::mount(Union::open(layers)?, &at, options)?;
    let server = thread::Builder::new().name("fuse".into()).spawn(move || session.serve()).map_err(RunError::Serve)?;
    let status = launched.run();
    unmount(&at);
    match server.join() {
        Ok(Ok(())) => Ok(status?),
        // How the container fared says more than how its files did.
        Ok(Err(error)) => status.map_err(RunError::from).and(Err(RunError::Serve(error))),
        Err(_) => status.map_err(RunError::from).and(Err(RunError::Serve(io::Error::other("the server panicked")))),
    }
}

/// What programs wrote, and the kernel has not passed on, arrives before this returns: all users are gone.
fn unmount(at: &Path) {
    let result = fuse::unmount(at, false).or_else(|_| fuse::unmount(at, true));
    if let Err(errno) = result {
        tracing::warn!(at = %at.display(), %errno, "cannot unmount");
    }
}
