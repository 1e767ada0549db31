//! Every exit code. They are docker's.

use std::process::ExitCode;

use anyhow::Result;

/// How an overfuse command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command did what it was asked for.
    Success,
    /// The command failed, does not exist, or was given wrong arguments.
    Failure,
    /// An option is unknown or has a wrong value.
    Usage,
    /// No command was started in a new container: `run` has 1 for a command that ended with 1.
    NotStarted,
    /// The container's command exists and cannot be run.
    CannotRun,
    /// The container's command does not exist.
    NotFound,
    /// The exit code of the process in the container; 128 + N after signal N.
    Process(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Usage | Exit::NotStarted => 125,
            Exit::CannotRun => 126,
            Exit::NotFound => 127,
            Exit::Process(code) => code,
        })
    }
}

/// Options that are well formed and yet wrong, such as a file that cannot be read. Docker has 125 for them too.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct Misuse(pub(super) anyhow::Error);

/// The exit code for an error that no command turned into another one.
pub(super) fn of_error(error: &anyhow::Error) -> Exit {
    if error.is::<Misuse>() { Exit::Usage } else { Exit::Failure }
}

/// The result of a command that starts a container and ends with the exit code of its process: an error is reported
/// here, and has an exit code of its own.
pub(super) fn or_not_started(result: Result<Exit>) -> Result<Exit> {
    Ok(result.unwrap_or_else(|error| {
        report(&error);
        Exit::NotStarted
    }))
}

/// Prints an error and its causes in one line.
pub(super) fn report(error: &anyhow::Error) {
    eprintln!("overfuse: {error:#}");
}
