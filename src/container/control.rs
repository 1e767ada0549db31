//! The client's side of a monitor: finds it, and requests things of it.

use std::os::fd::OwnedFd;

use super::monitor::protocol::{EVENT, Event, MESSAGE_MAX, Request, SOCKET};
use super::monitor::{self, Job, Starter};
use crate::store::Container;
use crate::sys::{Channel, Errno, socket};

/// Why a monitor did not do what was requested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    #[error("cannot {doing} the process that runs the container: {errno}")]
    Step { doing: &'static str, errno: Errno },
    /// The monitor's own words.
    #[error("{0}")]
    Refused(String),
    /// The container or its command could not start.
    #[error("{reason}")]
    Failed { reason: String, exit_code: u8 },
    #[error("the process that runs the container was killed")]
    Killed,
}

type Result<T> = std::result::Result<T, ControlError>;

/// A connection to the monitor of a container.
#[derive(Debug)]
pub struct Control {
    pub(super) channel: Channel,
}

/// One message of a monitor.
#[derive(Debug)]
pub(super) enum Told {
    /// An event, and the descriptor that came with it.
    Event(Event, Option<OwnedFd>),
    /// `buffer[1..length]` is output; `buffer[0]` tells which.
    Output(usize),
}

impl Control {
    /// Forks a monitor, which calls `prepare` and runs what that returns. This process must have one thread.
    ///
    /// `prepare` must use no descriptor that is open now: the monitor closes all but the standard streams.
    ///
    /// # Errors
    /// This process cannot fork.
    pub fn start(starter: Starter, prepare: impl FnOnce() -> std::result::Result<Job, String>) -> Result<Control> {
        let channel = monitor::start(starter, prepare).map_err(|errno| ControlError::Step { doing: "start", errno })?;
        Ok(Control { channel })
    }

    /// Connects to the monitor of `container`; `None` when it has none, because it does not run.
    ///
    /// # Errors
    /// The kernel refuses the connection.
    pub fn of(container: &Container) -> Result<Option<Control>> {
        let channel = socket::connect(container.dir(), SOCKET);
        let channel = channel.map_err(|errno| ControlError::Step { doing: "connect to", errno })?;
        Ok(channel.map(|channel| Control { channel }))
    }

    /// Waits until the command of a started container runs; returns the container's ID.
    ///
    /// # Errors
    /// [`ControlError::Failed`].
    pub fn started(&self) -> Result<String> {
        self.until(|event| match event {
            Event::Started { id } => Some(Ok(id)),
            Event::Failed { reason, exit_code } => Some(Err(ControlError::Failed { reason, exit_code })),
            _ => None,
        })?
        .ok_or(ControlError::Killed)?
    }

    /// Sends a signal to the container's first process.
    ///
    /// # Errors
    /// [`ControlError::Refused`]: the kernel refuses the signal.
    pub fn kill(&self, signal: i32) -> Result<()> {
        self.request(&Request::Kill(signal))?;
        let answer = self.until(|event| match event {
            Event::Done | Event::Ended { .. } | Event::Failed { .. } => Some(Ok(())),
            Event::Refused(reason) => Some(Err(ControlError::Refused(reason))),
            _ => None,
        })?;
        answer.unwrap_or(Ok(()))
    }

    /// Requests the end of the container: by `signal` or its own stop signal, and by SIGKILL after `seconds` or its own
    /// timeout; never, if that is negative. With `keep`, it is not removed, even if it was run with `--rm`.
    /// [`Control::ended`] waits for the end.
    ///
    /// # Errors
    /// The monitor cannot be reached.
    pub fn stop(&self, signal: Option<i32>, seconds: Option<i64>, keep: bool) -> Result<()> {
        self.request(&Request::Stop { signal, seconds, keep })
    }

    /// Requests a message at the end of the container. [`Control::ended`] waits for it.
    ///
    /// # Errors
    /// The monitor cannot be reached.
    pub fn wait(&self) -> Result<()> {
        self.request(&Request::Wait)
    }

    /// Waits for the end of the container, after [`Control::stop`] or [`Control::wait`]. Returns its exit code, or `None`
    /// when its monitor was killed.
    ///
    /// # Errors
    /// The monitor cannot be reached.
    pub fn ended(&self) -> Result<Option<u8>> {
        self.until(|event| match event {
            Event::Ended { exit_code } | Event::Failed { exit_code, .. } => Some(exit_code),
            _ => None,
        })
    }

    /// Requests a message whenever the log grows. [`Control::logged`] waits for it.
    ///
    /// # Errors
    /// The monitor cannot be reached.
    pub fn follow(&self) -> Result<()> {
        self.request(&Request::Follow)
    }

    /// Waits until the log has grown, after [`Control::follow`]; `false` when the container has ended.
    ///
    /// # Errors
    /// The monitor cannot be reached.
    pub fn logged(&self) -> Result<bool> {
        let grown = self.until(|event| match event {
            Event::Logged => Some(true),
            Event::Ended { .. } | Event::Failed { .. } => Some(false),
            _ => None,
        })?;
        Ok(grown.unwrap_or(false))
    }

    pub(super) fn request(&self, request: &Request) -> Result<()> {
        send(&self.channel, request).map_err(|errno| ControlError::Step { doing: "reach", errno })
    }

    /// The next message; `None` when the monitor is gone.
    pub(super) fn next(&self, buffer: &mut [u8]) -> Result<Option<Told>> {
        loop {
            let got = self.channel.receive_into(buffer);
            let got = got.map_err(|errno| ControlError::Step { doing: "hear from", errno })?;
            let Some((length, fd)) = got else { return Ok(None) };
            match buffer[..length].split_first() {
                Some((&EVENT, event)) => match serde_json::from_slice(event) {
                    Ok(event) => return Ok(Some(Told::Event(event, fd))),
                    Err(error) => tracing::debug!(%error, "an event that this version does not know"),
                },
                _ => return Ok(Some(Told::Output(length))),
            }
        }
    }

    /// The first thing that `choose` finds in the events; `None` when the monitor is gone before.
    fn until<T>(&self, choose: impl Fn(Event) -> Option<T>) -> Result<Option<T>> {
        let mut buffer = vec![0; MESSAGE_MAX];
        while let Some(told) = self.next(&mut buffer)? {
            if let Told::Event(event, _) = told
                && let Some(found) = choose(event)
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// Sends a request. A monitor that is gone gets none; the caller sees its end when it receives.
pub(super) fn send(channel: &Channel, request: &Request) -> std::result::Result<(), Errno> {
    let message = serde_json::to_vec(request).map_err(|_| Errno::INVAL)?;
    match channel.send(&message, None) {
        Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
        other => other,
    }
}
