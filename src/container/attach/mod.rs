//! An attached client: shows a container's output here, and gives it keys and signals.
//!
//! Two threads, so that a reader of our output who does not read cannot hold up a signal: the caller's copies output, and
//! the other one input and signals. Input does not go through the monitor, which hands out the container's terminal or
//! pipe itself.

mod feed;
mod keys;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, OnceLock};

use super::control::{Control, ControlError, Told};
use super::monitor::protocol::{ERROR_OUTPUT, Event, MESSAGE_MAX, Request};
use crate::sys::poll::{self, Interest};
use crate::sys::pty::{self, RawInput};
use crate::sys::signal::Messages;
use crate::sys::{Channel, Errno};

use feed::Feed;
pub use keys::{DetachKeys, NoKeys};

/// How a client is attached.
#[derive(Clone, Debug, Default)]
pub struct Attach {
    /// Whether standard input goes to the container.
    pub input: bool,
    /// Whether signals to this process are passed on to the container. Otherwise they end this process.
    pub pass_signals: bool,
    /// The keys that detach from a terminal.
    pub detach_keys: DetachKeys,
}

/// Why a client is no longer attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// The container has ended.
    Ended(u8),
    /// The container runs on: the user pressed the detach keys.
    Detached,
    /// The container runs on: the terminal of this process was closed.
    HungUp,
    /// The container runs on: this process got a signal that is not passed on, or has passed on three that ask to end.
    Signal(i32),
    /// The container runs on: nobody reads our output any more.
    Unread,
    /// The monitor, and the container with it, was killed.
    Killed,
}

impl Control {
    /// Attaches to a running container: relays until the container ends or the user detaches.
    ///
    /// # Errors
    /// [`ControlError::Refused`], and when the monitor cannot be reached.
    pub fn attach(self, attach: Attach) -> Result<Left, ControlError> {
        self.request(&Request::Attach { input: attach.input })?;
        self.relay(attach)
    }

    /// Relays, after this process has started the container with [`Starter::attached`](super::Starter).
    ///
    /// # Errors
    /// [`ControlError::Failed`], and when the monitor cannot be reached.
    pub fn relay(self, attach: Attach) -> Result<Left, ControlError> {
        let Control { channel } = self;
        let screen = Screen { control: Control { channel: duplicate(&channel)? }, left: Arc::default(), raw: None };
        screen.show(attach, channel)
    }
}

/// The thread that copies output.
struct Screen {
    control: Control,
    /// Set by the other thread before it closes the connection.
    left: Arc<OnceLock<Left>>,
    /// Restores our own terminal when dropped.
    raw: Option<RawInput>,
}

impl Screen {
    fn show(mut self, attach: Attach, channel: Channel) -> Result<Left, ControlError> {
        let mut feed = Some((attach, channel));
        let mut buffer = vec![0; MESSAGE_MAX];
        while let Some(told) = self.control.next(&mut buffer)? {
            match told {
                Told::Output(length) => {
                    let shown = match buffer[0] {
                        ERROR_OUTPUT => write(io::stderr().as_fd(), &buffer[1..length]),
                        _ => write(io::stdout().as_fd(), &buffer[1..length]),
                    };
                    if shown.is_err() {
                        return Ok(Left::Unread);
                    }
                }
                Told::Event(Event::Attached { terminal }, input) => {
                    let Some((attach, channel)) = feed.take() else { continue };
                    let signals = Messages::receive().map_err(|errno| step("receive signals for", errno))?;
                    if terminal && attach.input && pty::is_terminal(io::stdin()) {
                        self.raw = RawInput::new().ok();
                    }
                    let feed = Feed::new(attach, channel, signals, terminal, input, self.left.clone());
                    feed.start().map_err(|errno| step("feed", errno))?;
                }
                Told::Event(Event::Ended { exit_code }, _) => return Ok(Left::Ended(exit_code)),
                Told::Event(Event::Failed { reason, exit_code }, _) => {
                    return Err(ControlError::Failed { reason, exit_code });
                }
                Told::Event(Event::Refused(reason), _) => return Err(ControlError::Refused(reason)),
                Told::Event(Event::Started { .. } | Event::Done | Event::Logged, _) => {}
            }
        }
        Ok(self.left.get().cloned().unwrap_or(Left::Killed))
    }
}

fn step(doing: &'static str, errno: Errno) -> ControlError {
    ControlError::Step { doing, errno }
}

fn duplicate(channel: &Channel) -> Result<Channel, ControlError> {
    channel.duplicate().map_err(|errno| step("connect to", errno))
}

fn write(to: BorrowedFd<'_>, mut rest: &[u8]) -> Result<(), Errno> {
    while !rest.is_empty() {
        match pty::write(to, rest) {
            Ok(written) => rest = &rest[written..],
            // Another process that shares our standard output made it nonblocking.
            Err(Errno::AGAIN) => drop(poll::wait(&[(to, Interest::Write)])?),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
