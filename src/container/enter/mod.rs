//! Enters a container that runs: finds the process whose namespaces are joined, and joins them.
//!
//! No path of the container is resolved on the host. The process is named by its number and start time in the container's
//! state, is used through a pidfd, and so cannot be mistaken for a later process with the same number.

mod cgroup;

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::error::{Doing, LaunchError};
use super::settings::Settings;
use super::state::{State, Status};
use crate::store::{Container, StoreError};
use crate::sys::process::{self, ProcessId};
use crate::sys::{self, Channel, Dir, Errno, Namespaces, Root, namespace};

/// Why a container cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("container {0} is not running")]
    NotRunning(String),
    #[error("container {0} is still starting: try again")]
    Starting(String),
    #[error("container {0} is paused: unpause it first")]
    Paused(String),
    #[error(transparent)]
    Step(#[from] LaunchError),
}

/// How often and how long to wait for a container that is starting.
const TRIES: u32 = 500;
const PAUSE: Duration = Duration::from_millis(20);

/// The namespaces that a process must join before it has rights over the others.
const FIRST: Namespaces = Namespaces::USER;

/// A running container, as seen from outside.
#[derive(Debug)]
pub(super) struct Inside {
    /// A pidfd of the process whose namespaces are joined.
    fd: OwnedFd,
    place: Place,
}

/// What [`Inside`] knows besides the descriptor.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The process whose namespaces are joined.
    process: ProcessId,
    /// Those of its namespaces that this process is not in.
    namespaces: Namespaces,
    /// Whether the container has another root directory only.
    chroot: bool,
    /// The container's ID.
    id: String,
}

impl AsFd for Inside {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Inside {
    /// Finds the container's processes; waits for a container that is starting.
    ///
    /// # Errors
    /// [`EnterError::NotRunning`], [`EnterError::Starting`]; this user may not enter the container's namespaces.
    pub(super) fn of(container: &Container, settings: &Settings) -> Result<Inside, EnterError> {
        let mut failure = EnterError::Starting(container.name.clone());
        for _ in 0..TRIES {
            let state = State::of(container)?;
            let runs = matches!(state.status, Status::Running | Status::Paused);
            let Some(first) = state.process.filter(|_| runs) else {
                return Err(EnterError::NotRunning(container.name.clone()));
            };
            match Self::try_find(container, settings, first) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) | Err(Errno::NOENT | Errno::SRCH) => {}
                // Until the command is executed, the process is a copy of ours and closed to other users.
                Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
                    failure = LaunchError::Step { doing: "enter the container".into(), errno }.into();
                }
                Err(errno) => return Err(LaunchError::Step { doing: "enter the container".into(), errno }.into()),
            }
            sleep(PAUSE);
        }
        Err(failure)
    }

    /// `None` while the container's root is not complete.
    fn try_find(container: &Container, settings: &Settings, first: ProcessId) -> Result<Option<Inside>, Errno> {
        let process = match settings.init && !settings.chroot {
            // Our own init hides its memory, and with it its namespaces, from other processes.
            true => match child_of_init(first.pid) {
                Some(command) => command,
                None => return Ok(None),
            },
            false => first,
        };
        let (Some(fd), Some(_)) = (process.open()?, first.open()?) else { return Ok(None) };
        let namespaces = namespace::differing(process.pid)?;
        // Before it switches to the container's root, the first process has the host's.
        let switched = match sys::is_same_file(root_of(process)?, Dir::open_host(Path::new("/"))?) {
            Ok(same) => !same,
            // Only a mount that belongs to another user namespace does not answer.
            Err(Errno::ACCESS) => true,
            Err(errno) => return Err(errno),
        };
        let id = container.id.clone();
        let place = Place { process, namespaces, chroot: settings.chroot, id };
        Ok(switched.then_some(Inside { fd, place }))
    }

    /// For a process that closes its descriptors.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// Joins the container's user namespace. Everything else needs the rights that this gives.
    ///
    /// # Errors
    /// As [`namespace::join`].
    pub(super) fn join_users(&self) -> Result<(), Errno> {
        namespace::join(&self.fd, self.place.namespaces.within(FIRST))
    }

    /// As [`join_users`](Self::join_users); the next children are also in the container's PID namespace.
    ///
    /// # Errors
    /// As [`namespace::join`].
    pub(super) fn join_users_and_processes(&self) -> Result<(), Errno> {
        namespace::join(&self.fd, self.place.namespaces.within(FIRST.and(Namespaces::PID)))
    }

    /// The container's root, for a process that stays in the host's mount namespace and has joined the container's
    /// user namespace.
    ///
    /// # Errors
    /// The step that failed.
    pub(super) fn root(&self) -> Result<Root, LaunchError> {
        let doing = "open the container's root";
        if self.place.chroot {
            return Ok(root_of(self.place.process).doing(doing)?.into());
        }
        let send = |channel: Channel| -> Result<(), Errno> {
            namespace::join(&self.fd, self.place.namespaces.within(Namespaces::MOUNT))?;
            channel.send(b"root", Some(Dir::open_host(Path::new("/"))?.as_fd()))
        };
        let failed = |errno: Errno| errno.raw_os_error() & 0xff;
        let work = |channel: Channel| send(channel).map_or_else(failed, |()| 0);
        let (child, channel) = process::spawn_connected(Namespaces::empty(), work).doing(doing)?;
        let sent = channel.receive().doing(doing)?;
        let status = child.wait().doing(doing)?;
        match sent {
            Some((_, Some(root))) => Ok(Dir::from(root).into()),
            _ => Err(Errno::from_raw_os_error(status.code().into())).doing(doing),
        }
    }
}

impl Place {
    /// The number of the process whose namespaces are joined.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid
    }

    /// Moves this process into the container's cgroups and then into the remaining namespaces, and returns the
    /// container's root. `fd` is the pidfd.
    ///
    /// # Errors
    /// The step that failed.
    pub(super) fn join_the_rest(&self, fd: impl AsFd) -> Result<Root, LaunchError> {
        const SELF: Namespaces = FIRST.and(Namespaces::PID);
        cgroup::join(self.process.pid, &self.id).doing("enter the container's cgroup")?;
        let root = if self.chroot { Some(root_of(self.process).doing("open the container's root")?) } else { None };
        // This also proves that the process has not ended, and its number not been reused, since it was found.
        namespace::join(&fd, self.namespaces.without(SELF)).doing("enter the container's namespaces")?;
        match root {
            Some(root) => Ok(root.into()),
            None => Ok(Dir::open_host(Path::new("/")).doing("open the container's root")?.into()),
        }
    }
}

fn root_of(process: ProcessId) -> Result<Dir, Errno> {
    Dir::open_host(Path::new(&format!("/proc/{}/root", process.pid)))
}

/// The command of a container whose process 1 is our init: it is process 2 there.
fn child_of_init(init: u32) -> Option<ProcessId> {
    let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).ok()?;
    let children = children.split_whitespace().filter_map(|child| ProcessId::of(child.parse().ok()?));
    children.into_iter().find(|child| {
        let status = fs::read_to_string(format!("/proc/{}/status", child.pid)).unwrap_or_default();
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        numbers.is_some_and(|numbers| numbers.split_whitespace().next_back() == Some("2"))
    })
}
