//! Starts a container: forks its first process, and lets it continue once its root is served.

use super::child;
use super::error::{Doing, LaunchError};
use super::network::Linked;
use super::plan::{Input, Plan};
use super::relay::Relay;
use crate::sys::Channel;
use crate::sys::process::{self, Child, ProcessId, Status};
use crate::sys::signal::Messages;

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
    pub fn new(mut plan: Plan) -> Result<Launched, LaunchError> {
        let messages = Messages::receive().doing("receive signals")?;
        let input = plan.input;
        let link = plan.link.take();
        let namespaces = child::namespaces(&plan.isolation);
        let spawned = process::spawn_connected(namespaces, |channel| child::run(plan, channel));
        let (child, channel) = spawned.doing("make the container's namespaces")?;
        match link.map(|link| link.start(child.id())).transpose() {
            Ok(link) => Ok(Launched { child, channel, messages, input, link }),
            Err(error) => {
                end(child, channel);
                Err(error)
            }
        }
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

/// Ends a first process that still waits.
fn end(child: Child, channel: Channel) {
    drop(channel);
    // Ignores the error: nothing can be done about it.
    let _ = child.wait();
}
