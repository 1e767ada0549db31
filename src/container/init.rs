//! Process 1 of a container with `--init`: forwards signals and reaps orphans.
//!
//! Keeps the capabilities that the command drops, so that no process in the container can trace it, or reach through it
//! the overfuse program file on the host.

use super::launch::BEFORE_COMMAND;
use crate::sys::poll::{self, Interest};
use crate::sys::process::{self, Child, Status};
use crate::sys::signal::{self, Messages};
use crate::sys::{Errno, Namespaces};

use std::os::fd::AsFd;

/// The exit status when this process itself fails. It cannot report why.
const FAILED: i32 = 125;

/// Runs `command` in a child process and returns its exit status. This process drops what `command` owns.
pub(super) fn run(command: impl FnOnce() -> i32) -> i32 {
    let ended = || -> Result<Status, Errno> {
        process::hide()?;
        let messages = Messages::receive_with_children()?;
        let child = process::spawn(Namespaces::empty(), command)?;
        attend(&messages, &child)
    };
    ended().map_or(FAILED, |status| status.code().into())
}

fn attend(messages: &Messages, command: &Child) -> Result<Status, Errno> {
    loop {
        poll::wait(&[(messages.as_fd(), Interest::Read)])?;
        while let Some(signal) = messages.next()? {
            if signal != signal::CHILD_ENDED {
                command.signal(signal)?;
                continue;
            }
            // Not known any more once it is reaped.
            let never_started = command.name().is_some_and(|name| name.as_bytes() == BEFORE_COMMAND.to_bytes());
            while let Some((pid, status)) = process::reap()? {
                if pid == command.id() {
                    if never_started {
                        // The launcher looks at the name of this process.
                        process::set_name(BEFORE_COMMAND);
                    }
                    return Ok(status);
                }
            }
        }
    }
}
