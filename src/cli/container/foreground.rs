//! A container in the foreground: the options of a client that is attached, and how it ends.

use anyhow::{Result, anyhow};
use clap::{ArgAction, Args};

use crate::cli::Exit;
use crate::container::{Attach, ControlError, DetachKeys, Left};

/// The options of an attached client.
#[derive(Debug, Args)]
pub(in crate::cli::container) struct AttachArgs {
    /// Pass signals on to the command; with `false` they end the client, and the container goes on
    #[arg(long, default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_name = "BOOL")]
    sig_proxy: bool,
    /// Keys that detach from the container's terminal, as in ctrl-p,ctrl-q; empty: none [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,
}

impl AttachArgs {
    pub(in crate::cli::container) fn attach(&self, input: bool) -> Attach {
        let detach_keys = self.detach_keys.clone().unwrap_or_default();
        Attach { input, pass_signals: self.sig_proxy, detach_keys }
    }
}

/// The exit code of an attached client. Prints why it left a container that goes on.
pub(in crate::cli::container) fn relay(left: Result<Left, ControlError>) -> Result<Exit> {
    let goes_on = |why: &str, exit: Exit| {
        eprintln!("overfuse: {why}: the container goes on (overfuse ps shows it)");
        Ok(exit)
    };
    match left {
        Ok(Left::Ended(exit_code)) => Ok(Exit::Process(exit_code)),
        Ok(Left::Detached) => goes_on("detached", Exit::Success),
        Ok(Left::HungUp) => goes_on("the terminal was closed", Exit::Process(129)),
        Ok(Left::Signal(number)) => {
            let code = u8::try_from(128 + number).unwrap_or(u8::MAX);
            goes_on(&format!("ended by signal {number}"), Exit::Process(code))
        }
        Ok(Left::Unread) => goes_on("nobody reads the output", Exit::Failure),
        Ok(Left::Killed) => Err(anyhow!(ControlError::Killed)),
        Err(error) => failed(error),
    }
}

/// Prints why a container did not start. The exit code is docker's: 127 and 126 are about the command.
pub(in crate::cli::container) fn failed(error: ControlError) -> Result<Exit> {
    let exit = match &error {
        ControlError::Failed { exit_code: 127, .. } => Exit::NotFound,
        ControlError::Failed { exit_code: 126, .. } => Exit::CannotRun,
        _ => return Err(error.into()),
    };
    eprintln!("overfuse: {error}");
    Ok(exit)
}
