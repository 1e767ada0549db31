//! Starting a container: the fork, and what comes before the word to go.

use super::child;
use super::error::{Doing, LaunchError};
use super::plan::{Input, Plan};
use super::relay::Relay;
use crate::sys::Channel;
use crate::sys::process::{self, Child, Status};
use crate::sys::signal::Messages;

/// A container whose first process waits for its root to be served.
#[derive(Debug)]
pub struct Launched {
    child: Child,
    channel: Channel,
    messages: Messages,
    input: Input,
}

impl Launched {
    /// Makes the container's first process, which waits. For a process with one thread; threads may follow, and the
    /// descriptors and limits that this process takes from here on are none of the container's.
    ///
    /// From here on the signals that others send to this process are the container's.
    ///
    /// # Errors
    /// Where the kernel refuses the namespaces, or there is more than one thread (`EDEADLK`).
    pub fn new(plan: Plan) -> Result<Launched, LaunchError> {
        let messages = Messages::receive().doing("receive signals")?;
        let input = plan.input;
        let namespaces = child::namespaces(&plan.isolation);
        let spawned = process::spawn_connected(namespaces, |channel| child::run(plan, channel));
        let (child, channel) = spawned.doing("make the container's namespaces")?;
        Ok(Launched { child, channel, messages, input })
    }

    /// Lets it run over its root, which is served by now, until it ends.
    ///
    /// # Errors
    /// What kept the command from starting.
    pub fn run(self) -> Result<Status, LaunchError> {
        // A child that is gone already says why on the channel, or by its status.
        let _ = self.channel.send(child::GO, None);
        Relay::new(&self.child, &self.messages, self.channel, self.input).run()?;
        self.child.wait().doing("wait for the container")
    }
}
