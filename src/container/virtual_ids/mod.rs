//! Virtual ids: the users and groups of a container whose user namespace maps one user and one group only.
//!
//! Without subordinate ids the kernel knows one user inside, root. `chown` to any other fails with `EINVAL` before the
//! file system is asked, and so does `setuid`; `setgroups` and making device nodes fail with `EPERM`. Package managers
//! need all of these. So a seccomp filter hands such calls over to a **supervisor** process of ours, as fakeroot does
//! with a library.
//!
//! ```text
//!   a process in the container ──chown(path, 104, …)──► kernel ──► supervisor: reads the path, opens the file it names
//!                                                                     │ inode number, owner
//!                              the process that serves the mount: records the owner in the union (mount::Direct)
//! ```
//!
//! # Decisions
//!
//! - **What is kept.** Owners and device nodes are recorded as `user.containers.override_stat`, as they are when an
//!   image is unpacked. A commit packs them. The kernel cannot show an id that the namespace does not map, so `stat`
//!   inside goes on showing root.
//! - **What a process has become** is an [`Identity`](identity::Identity) of the supervisor. The process carries its number in a resource
//!   limit that Linux does not enforce ([`Caller::mark`](crate::sys::Caller::mark)): children inherit limits, whatever
//!   happens to their parents, and the supervisor needs to follow neither `fork` nor `execve`.
//! - **Rights stay those of root.** A virtual user is a name: it may read and write what root may. Only changes of ids
//!   and owners are refused to it as the kernel would. So this adds no isolation, and takes none away from the host.
//! - **What is handed over** is what the kernel would refuse: `chown` to 0 and `mknod` of a file stay with the kernel.
//!   Reading ids is handed over always, since a process may have become another. Programs of the 32-bit sibling of the
//!   processor get what the kernel says.
//! - **A process, not a thread** of the monitor: it looks paths up on a mount that the monitor serves, and a process
//!   that waits for itself cannot be killed. It ends with the monitor; calls that nobody answers fail with `ENOSYS`.
//! - **Races are harmless.** Another thread may change a path between the reading and the opening. The supervisor makes
//!   the caller's root its own, keeps only the capabilities that it takes to look at processes, and opens files with
//!   `O_PATH`; all that follows is a record in the container's own upper layer, whichever file it is.
//! - Only a container whose files all show one owner has this ([`Privilege::Single`](crate::privilege::Privilege)): no
//!   other pays anything. Where the kernel gives no listener (before Linux 5.19, or inside another such container), ids
//!   stay as the kernel has them.
#![doc = include_str!("virtual_ids.md")]

mod calls;
mod files;
mod identity;
mod recorder;
mod supervisor;

use std::os::fd::AsFd;
use std::thread::{self, JoinHandle};

use super::error::{Doing, LaunchError};
use crate::mount::Direct;
use crate::sys::process::{self, Child};
use crate::sys::{Capabilities, Channel, Errno, Namespaces, seccomp};

/// The supervisor of one container, as the process that serves the container sees it. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct VirtualIds {
    /// `None` once it has ended.
    supervisor: Option<Child>,
    /// Where the supervisor gets listeners.
    listeners: Channel,
    /// What the supervisor asks for; `None` once a thread answers.
    requests: Option<Channel>,
    recorder: Option<JoinHandle<()>>,
}

impl VirtualIds {
    /// Starts the supervisor. This process must have one thread.
    ///
    /// # Errors
    /// As `fork(2)`.
    pub(super) fn start() -> Result<VirtualIds, LaunchError> {
        let doing = "start the supervisor of virtual ids";
        let (listeners, theirs) = Channel::pair().doing(doing)?;
        let spawned =
            process::spawn_connected(Namespaces::empty(), move |requests| supervisor::run(&theirs, &requests));
        let (supervisor, requests) = spawned.doing(doing)?;
        Ok(VirtualIds { supervisor: Some(supervisor), listeners, requests: Some(requests), recorder: None })
    }

    /// Supervises the processes whose calls `listener` gets: see [`hand_over`].
    ///
    /// # Errors
    /// `EPIPE` when the supervisor is gone.
    pub(super) fn supervise(&self, listener: impl AsFd) -> Result<(), Errno> {
        self.listeners.send(LISTENER, Some(listener.as_fd()))
    }

    /// Starts a thread that records in the mount what the supervisor asks for. The process must not fork from now on.
    ///
    /// # Errors
    /// As `clone(2)`.
    pub(super) fn record_in(&mut self, mount: &Direct) -> Result<(), LaunchError> {
        let Some(requests) = self.requests.take() else { return Ok(()) };
        let mount = mount.clone();
        let answer = move || recorder::answer(&requests, &mount);
        let started = thread::Builder::new().name("virtual ids".into()).spawn(answer);
        self.recorder = Some(started.doing("start a thread")?);
        Ok(())
    }
}

/// Afterwards this process has neither the child nor the thread.
impl Drop for VirtualIds {
    fn drop(&mut self) {
        // Ignores errors: they mean that the supervisor has ended, which ends the thread.
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.kill().and_then(|()| supervisor.wait());
        }
        if let Some(recorder) = self.recorder.take() {
            let _ = recorder.join();
        }
    }
}

/// The message that brings a listener.
pub(super) const LISTENER: &[u8] = b"listener";

/// Hands the calls about ids of this process, and of all that it starts, over to the supervisor: sends the listener to
/// the process outside, which passes it on. Returns whether it does: the kernel may give no listener.
///
/// # Errors
/// The filter cannot be installed.
pub(super) fn hand_over(outside: &Channel, capabilities: Capabilities) -> Result<bool, LaunchError> {
    let doing = "hand calls over to the supervisor of virtual ids";
    let listener = match seccomp::install_listening(&calls::filter(capabilities)?) {
        Err(Errno::BUSY | Errno::INVAL) => return Ok(false),
        other => other.doing(doing)?,
    };
    outside.send(LISTENER, Some(listener.as_fd())).doing(doing)?;
    // The supervisor reads the arguments of the calls that follow. A child of our init is hidden like that.
    process::show().doing(doing)?;
    Ok(true)
}
