//! Starts a container: forks its first process, and lets it continue once its root is served.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use super::cgroup::{OwnedCgroup, Request};
use super::child;
use super::error::{Doing, LaunchError};
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
        let First { child, channel, cgroup, virtual_ids } = first_process(plan, Streams::default())?;
        Ok(Launched { child, _cgroup: cgroup, channel, messages, input, virtual_ids })
    }

    /// The container's first process, as this process's PID namespace numbers it; `None` if it has been killed.
    pub fn process(&self) -> Option<ProcessId> {
        ProcessId::of(self.child.id())
    }

    /// Records in `mount`, the container's root, which owners its processes give to files. To be called before
    /// [`run`](Self::run); the process must not fork from now on.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn record_owners_in(&mut self, mount: &Direct) -> Result<(), LaunchError> {
        self.virtual_ids.as_mut().map_or(Ok(()), |ids| ids.record_in(mount))
    }

    /// Lets the first process continue and relays until it ends. The root must be served by now.
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
    pub(super) cgroup: OwnedCgroup,
    /// For [`Plan::virtual_ids`].
    pub(super) virtual_ids: Option<VirtualIds>,
}

/// Makes the container's cgroup and its first process. This process must have one thread now.
pub(super) fn first_process(plan: Plan, streams: Streams) -> Result<First, LaunchError> {
    let namespaces = child::namespaces(&plan.isolation);
    let cgroup = OwnedCgroup::new(&Request::of(&plan))?;
    let virtual_ids = plan.virtual_ids.then(VirtualIds::start).transpose()?;
    let work = |channel| match streams.take() {
        Ok(()) => child::run(plan, &cgroup, channel),
        Err(_) => child::FAILED,
    };
    let spawned = process::spawn_connected_in(namespaces, cgroup.unified(), work);
    let (child, channel) = spawned.doing("make the container's namespaces")?;
    Ok(First { child, channel, cgroup, virtual_ids })
}
