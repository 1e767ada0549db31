//! Commands over several containers: each is tried, and for each one that fails a line says why.

use anyhow::Result;

use crate::cli::{Exit, output};
use crate::container::{State, Status};
use crate::store::Container;

/// Does `work` for each of `names`, and prints those for which it was done. The exit code is docker's: 1 if one failed.
///
/// # Errors
/// Standard output cannot be written to.
pub(in crate::cli) fn each(names: &[String], mut work: impl FnMut(&str) -> Result<()>) -> Result<Exit> {
    each_printing(names, |name| work(name).map(|()| name.to_owned()))
}

/// As [`each`], and prints what `work` returns.
///
/// # Errors
/// Standard output cannot be written to.
pub(in crate::cli) fn each_printing(names: &[String], mut work: impl FnMut(&str) -> Result<String>) -> Result<Exit> {
    let mut exit = Exit::Success;
    for name in names {
        match work(name) {
            Ok(line) => output::print(&format!("{line}\n"))?,
            Err(error) => {
                eprintln!("overfuse: {error:#}");
                exit = Exit::Failure;
            }
        }
    }
    Ok(exit)
}

/// Why a container has no monitor, as the end of a sentence that begins with its name.
pub(in crate::cli::container) fn state_words(container: &Container) -> Result<&'static str> {
    Ok(match State::of(container)?.status {
        Status::Created => "was never started",
        Status::Running | Status::Paused | Status::Restarting => "is running",
        Status::Exited => "is not running",
        Status::Mounted => "is mounted, not running: use overfuse umount",
    })
}
