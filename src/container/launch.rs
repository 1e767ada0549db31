//! Starts a container: forks its first process, and lets it continue once its root is served.

use super::child;
use super::error::{Doing, LaunchError};
use super::plan::{Input, Plan};
use super::relay::Relay;
use std::os::fd::OwnedFd;

use crate::sys::process::{self, Child, ProcessId, Status, Stream};
use crate::sys::signal::Messages;
use crate::sys::{Channel, Errno};

/// A container whose first process waits for its root to be served.
#[derive(Debug)]
pub struct Launched {
    child: Child,
    channel: Channel,
    messages: Messages,
    input: Input,
    /// Whether an OCI runtime makes the container, so that our child is another process.
    has_runtime: bool,
}

impl Launched {
    /// Makes the container's first process, which waits. This process must have one thread now; it may start threads
    /// afterwards. The container does not inherit descriptors and limits that this process sets afterwards.
    ///
    /// From now on, signals sent to this process are forwarded to the container.
    ///
    /// # Errors
    /// The kernel refuses the namespaces, or there is more than one thread (`EDEADLK`).
    pub fn new(plan: Plan) -> Result<Launched, LaunchError> {
        let messages = Messages::receive().doing("receive signals")?;
        let input = plan.input;
        let has_runtime = plan.runtime().is_some();
        let (child, channel) = first_process(plan, Streams::default())?;
        Ok(Launched { child, channel, messages, input, has_runtime })
    }

    /// The container's first process, as this process's PID namespace numbers it; `None` if it has been killed.
    pub fn process(&self) -> Option<ProcessId> {
        if self.has_runtime { None } else { ProcessId::of(self.child.id()) }
    }

    /// Lets the first process continue and relays until it ends. The root must be served by now.
    ///
    /// # Errors
    /// The command could not start.
    pub fn run(self) -> Result<Status, LaunchError> {
        // Ignores the error: a child that is already gone reported why on the channel or by its status.
        let _ = self.channel.send(child::GO, None);
        Relay::new(&self.child, &self.messages, self.channel, self.input).run()?;
        self.child.wait().doing("wait for the container")
    }
}

/// The standard streams of a container's first process. `None` keeps this process's.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) input: Option<OwnedFd>,
    pub(super) output: Option<OwnedFd>,
    pub(super) error: Option<OwnedFd>,
}

impl Streams {
    fn take(self) -> Result<(), Errno> {
        for (stream, fd) in [(Stream::Input, self.input), (Stream::Output, self.output), (Stream::Error, self.error)] {
            if let Some(fd) = fd {
                process::replace_standard(stream, fd)?;
            }
        }
        Ok(())
    }
}

/// Makes the first process, which waits for [`child::GO`] on the channel. This process must have one thread now.
pub(super) fn first_process(plan: Plan, streams: Streams) -> Result<(Child, Channel), LaunchError> {
    let namespaces = child::namespaces(&plan.isolation);
    let work = |channel| match streams.take() {
        Ok(()) => child::run(plan, channel),
        Err(_) => child::FAILED,
    };
    process::spawn_connected(namespaces, work).doing("make the container's namespaces")
}
