//! Starts a container: forks its first process, and lets it continue once its root is served.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use super::cgroup::{OwnedCgroup, Request};
use super::child;
use super::error::{Doing, LaunchError};
use super::network::Linked;
use super::plan::{Input, Plan};
use super::relay::Relay;
use super::virtual_ids::VirtualIds;
use crate::mount::Direct;
use crate::sys::poll::{self, Interest};
use crate::sys::process::{self, Child, ProcessId, Status, Stream};
use crate::sys::signal::Messages;
use crate::sys::{Channel, Errno, signal};

/// A container whose first process waits for its root to be served.
#[derive(Debug)]
pub struct Launched {
    child: Child,
    /// Removed with this value, after the first process has ended.
    _cgroup: OwnedCgroup,
    channel: Channel,
    messages: Messages,
    input: Input,
    /// Whether an OCI runtime makes the container, so that our child is another process.
    has_runtime: bool,
    /// Ends with this value.
    link: Option<Linked>,
    /// For [`Plan::virtual_ids`].
    virtual_ids: Option<VirtualIds>,
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
        let First { child, channel, cgroup, link, virtual_ids } = first_process(plan, Streams::default())?;
        Ok(Launched { child, _cgroup: cgroup, channel, messages, input, has_runtime, link, virtual_ids })
    }

    /// The container's first process, as this process's PID namespace numbers it; `None` if it has been killed.
    pub fn process(&self) -> Option<ProcessId> {
        if self.has_runtime { None } else { ProcessId::of(self.child.id()) }
    }

    /// Waits until the container's network can be used.
    ///
    /// # Errors
    /// [`LaunchError::Network`]. The container's first process has ended then.
    pub fn connected(mut self) -> Result<Launched, LaunchError> {
        match self.link.as_mut().map_or(Ok(()), Linked::ready) {
            Ok(()) => Ok(self),
            Err(error) => {
                give_up(self.child, self.channel);
                Err(error)
            }
        }
    }

    /// Records in `mount`, the container's root, which owners its processes give to files. To be called before
    /// [`run`](Self::run); the process must not fork from now on.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn record_owners_in(&mut self, mount: &Direct) -> Result<(), LaunchError> {
        self.virtual_ids.as_mut().map_or(Ok(()), |ids| ids.record_in(mount))
    }

    /// Lets the first process continue and relays until it ends. The root must be served by now, and the network
    /// [connected](Self::connected).
    ///
    /// # Errors
    /// The command could not start.
    pub fn run(self) -> Result<Status, LaunchError> {
        // Ignores the error: a child that is already gone reported why on the channel or by its status.
        let _ = self.channel.send(child::GO, None);
        Relay::new(&self.child, &self.messages, self.channel, self.input, self.virtual_ids.as_ref()).run()?;
        end(self.child)
    }
}

/// The name of the first process from when its filter of system calls is installed until it is the command. The kernel
/// keeps the name of a process that has ended, so it tells how far the process came.
pub(super) const BEFORE_COMMAND: &CStr = c"overfuse-start";

/// Waits for the first process, which has said nothing of an error.
///
/// # Errors
/// It never became the command, and its filter of system calls kept it from saying why.
pub(super) fn end(child: Child) -> Result<Status, LaunchError> {
    let is_before = |child: &Child| child.name().is_some_and(|name| name.as_bytes() == BEFORE_COMMAND.to_bytes());
    // Ignores an error: the wait below has the same.
    let _ = poll::wait(&[(child.as_fd(), Interest::Read)]);
    let never_started = is_before(&child);
    match child.wait().doing("wait for the container")? {
        // The user or the kernel killed it, for lack of memory for example.
        Status::Signaled(signal::KILL) => Ok(Status::Signaled(signal::KILL)),
        status if never_started => Err(LaunchError::Filtered(status.code())),
        status => Ok(status),
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

/// A container's first process, which waits for [`child::GO`] on the channel.
#[derive(Debug)]
pub(super) struct First {
    pub(super) child: Child,
    pub(super) channel: Channel,
    /// Removed with this value, after the first process has ended.
    pub(super) cgroup: OwnedCgroup,
    /// What connects its network; ends with this value.
    pub(super) link: Option<Linked>,
    /// For [`Plan::virtual_ids`].
    pub(super) virtual_ids: Option<VirtualIds>,
}

/// Makes the container's cgroup and its first process, and starts to connect its network. This process must have one
/// thread now.
pub(super) fn first_process(mut plan: Plan, streams: Streams) -> Result<First, LaunchError> {
    let link = plan.link.take();
    let namespaces = child::namespaces(&plan.isolation);
    let cgroup = OwnedCgroup::new(&Request::of(&plan))?;
    let virtual_ids = plan.virtual_ids.then(VirtualIds::start).transpose()?;
    let work = |channel| match streams.take() {
        Ok(()) => child::run(plan, &cgroup, channel),
        Err(_) => child::FAILED,
    };
    let spawned = process::spawn_connected_in(namespaces, cgroup.unified(), work);
    let (child, channel) = spawned.doing("make the container's namespaces")?;
    match link.map(|link| link.start(child.id())).transpose() {
        Ok(link) => Ok(First { child, channel, cgroup, link, virtual_ids }),
        Err(error) => {
            give_up(child, channel);
            Err(error)
        }
    }
}

/// Ends a first process that still waits.
fn give_up(child: Child, channel: Channel) {
    drop(channel);
    // Ignores the error: nothing can be done about it.
    let _ = child.wait();
}
