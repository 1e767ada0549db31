//! Process 1 of a container that asked for one: passes signals on, and takes away orphans that have ended.
//!
//! Keeps the rights that the command gave up, so that nothing in the container can look into it or reach through it
//! to our program's file on the host.

use crate::sys::poll::{self, Interest};
use crate::sys::process::{self, Child, Status};
use crate::sys::signal::{self, Messages};
use crate::sys::{Errno, Namespaces};

use std::os::fd::AsFd;

/// What is told when the process itself fails; nothing of the container is left to say why.
const FAILED: i32 = 125;

/// Runs `command` in a process of its own; answers what it ended with. What `command` owns is dropped here.
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
            while let Some((pid, status)) = process::reap()? {
                if pid == command.id() {
                    return Ok(status);
                }
            }
        }
    }
}
