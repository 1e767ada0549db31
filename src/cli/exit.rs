//! Every exit code. They are the same as those of `docker run`.

use std::process::ExitCode;

/// How an overfuse command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The command did what it was asked for.
    Success,
    /// What a command over several names was to do failed for one of them.
    Partly,
    /// Overfuse itself failed.
    Failure,
    /// The command line is invalid.
    Usage,
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
            Exit::Partly => 1,
            Exit::Failure | Exit::Usage => 125,
            Exit::CannotRun => 126,
            Exit::NotFound => 127,
            Exit::Process(code) => code,
        })
    }
}
