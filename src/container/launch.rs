//! Starts a container: forks its first process, and lets it continue once its root is served.

use super::child;
use super::error::{Doing, LaunchError};
use super::network::Linked;
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
    /// Ends with this value.
    link: Option<Linked>,
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
        let (child, channel, link) = first_process(plan, Streams::default())?;
        Ok(Launched { child, channel, messages, input, link })
    }

    /// The container's first process, as this process's PID namespace numbers it; `None` if it has been killed.
    pub fn process(&self) -> Option<ProcessId> {
        ProcessId::of(self.child.id())
    }

    /// Waits until the container's network can be used.
    ///
    /// # Errors
    /// [`LaunchError::Network`]. The container's first process has ended then.
    pub fn connected(mut self) -> Result<Launched, LaunchError> {
        match self.link.as_mut().map_or(Ok(()), Linked::ready) {
            Ok(()) => Ok(self),
            Err(error) => {
                end(self.child, self.channel);
                Err(error)
            }
        }
    }

    /// Lets the first process continue and relays until it ends. The root must be served by now, and the network
    /// [connected](Self::connected).
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

/// Makes the first process, which waits for [`child::GO`] on the channel, and starts to connect its network. This process
/// must have one thread now.
pub(super) fn first_process(mut plan: Plan, streams: Streams) -> Result<(Child, Channel, Option<Linked>), LaunchError> {
    let link = plan.link.take();
    let namespaces = child::namespaces(&plan.isolation);
    let work = |channel| match streams.take() {
        Ok(()) => child::run(plan, channel),
        Err(_) => child::FAILED,
    };
    let spawned = process::spawn_connected(namespaces, work);
    let (child, channel) = spawned.doing("make the container's namespaces")?;
    match link.map(|link| link.start(child.id())).transpose() {
        Ok(link) => Ok((child, channel, link)),
        Err(error) => {
            end(child, channel);
            Err(error)
        }
    }
}

/// Ends a first process that still waits.
fn end(child: Child, channel: Channel) {
    drop(channel);
    // Ignores the error: nothing can be done about it.
    let _ = child.wait();
}
