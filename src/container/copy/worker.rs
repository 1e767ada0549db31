//! The process that sees the container's files, and the requests that it answers.
//!
//! For a running container it uses the mounts of the container. Otherwise its parent mounts the container's files as
//! `overfuse mount` does, with the container's volumes, in a mount namespace of its own, and unmounts them at the end.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::place::{Found, Place};
use super::{CopyError, Files, at};
use crate::container::enter::Inside;
use crate::container::mounts;
use crate::container::{Settings, State, Status, skeleton};
use crate::mount::{self, Source};
use crate::privilege::{self, Privilege};
use crate::sys::process::{self, Child};
use crate::sys::{Channel, Dir, Namespaces, Root};
use crate::tar::{self, Devices, Owner};

/// What the host side asks for. Paths are in the container.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Find {
        path: PathBuf,
        follow: bool,
    },
    /// Write an archive of `place` to the descriptor that comes along.
    Pack {
        place: Place,
        called: PathBuf,
    },
    /// Extract the archive that is read from the descriptor that comes along.
    Extract {
        into: PathBuf,
        archived: bool,
    },
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Found(Found),
    Done,
    Failed(String),
}

/// The host side's handle of the process.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    channel: Channel,
}

fn failed(doing: &'static str) -> impl FnOnce(crate::sys::Errno) -> CopyError {
    move |source| CopyError::Process { doing, source }
}

impl Worker {
    /// Starts the process, and waits until it sees the container's files.
    pub(super) fn start(files: &Files<'_>) -> Result<Worker, CopyError> {
        let settings = Settings::of(files.container)?;
        let runs = matches!(State::of(files.container)?.status, Status::Running | Status::Paused);
        let inside = if runs { Some(Inside::of(files.container, &settings)?) } else { None };
        let work = |channel: Channel| {
            let served = match &inside {
                Some(inside) => of_running(inside, &channel),
                None => of_stopped(files, &settings, channel),
            };
            i32::from(served.is_err())
        };
        let spawned = process::spawn_connected(Namespaces::empty(), work);
        let (child, channel) = spawned.map_err(failed("start a process"))?;
        let worker = Worker { child, channel };
        // Before the first request: a process that ends with one unread takes its last message with it.
        worker.answer()?;
        Ok(worker)
    }

    pub(super) fn find(&self, path: &Path, follow: bool) -> Result<Found, CopyError> {
        self.send(&Request::Find { path: path.to_owned(), follow }, None)?;
        match self.receive()? {
            Answer::Found(found) => Ok(found),
            Answer::Done => Err(CopyError::Inside("the container's side did not answer".into())),
            Answer::Failed(text) => Err(CopyError::Inside(text)),
        }
    }

    pub(super) fn ask(&self, request: &Request, stream: Option<BorrowedFd<'_>>) -> Result<(), CopyError> {
        self.send(request, stream)?;
        self.answer()
    }

    pub(super) fn send(&self, request: &Request, stream: Option<BorrowedFd<'_>>) -> Result<(), CopyError> {
        match self.channel.send(&message(request), stream) {
            // The process has sent why it ended.
            Err(crate::sys::Errno::PIPE) => Ok(()),
            other => other.map_err(failed("send to the container's side")),
        }
    }

    /// Waits until a request is done.
    pub(super) fn answer(&self) -> Result<(), CopyError> {
        match self.receive()? {
            Answer::Failed(text) => Err(CopyError::Inside(text)),
            Answer::Found(_) | Answer::Done => Ok(()),
        }
    }

    fn receive(&self) -> Result<Answer, CopyError> {
        let gone = || CopyError::Inside("the process on the container's side is gone".into());
        let (message, _) =
            self.channel.receive().map_err(failed("receive from the container's side"))?.ok_or_else(gone)?;
        serde_json::from_slice(&message).map_err(|_| CopyError::Inside(String::from_utf8_lossy(&message).into_owned()))
    }

    /// Ends the process. Everything that was written has then reached the container's files.
    pub(super) fn end(self) -> Result<(), CopyError> {
        let Worker { child, channel } = self;
        drop(channel);
        match child.wait().map_err(failed("wait for the container's side"))? {
            process::Status::Exited(0) => Ok(()),
            _ => Err(CopyError::Inside("the container's files could not be unmounted in order".into())),
        }
    }
}

fn message(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Sends why the container's files cannot be reached.
fn tell<T>(channel: &Channel, result: Result<T, CopyError>) -> Result<T, ()> {
    result.map_err(|error| {
        let error = Answer::Failed(mount::one_line(&error));
        // Ignores the error: the host side is gone.
        let _ = channel.send(&message(&error), None);
    })
}

fn of_running(inside: &Inside, channel: &Channel) -> Result<(), ()> {
    let enter = || -> Result<Root, CopyError> {
        process::die_with_parent().map_err(failed("tie the process to its parent"))?;
        inside.join_users().map_err(failed("enter the container's user namespace"))?;
        Ok(inside.root()?)
    };
    let root = tell(channel, enter())?;
    answer_all(&root, channel);
    Ok(())
}

fn of_stopped(files: &Files<'_>, settings: &Settings, channel: Channel) -> Result<(), ()> {
    let at = files.container.merged();
    let prepare = || -> Result<_, CopyError> {
        process::die_with_parent().map_err(failed("tie the process to its parent"))?;
        let privilege = privilege::enter_to_run(files.ids)?;
        if privilege == Privilege::Root {
            privilege::separate_mounts()?;
        }
        let in_use = files.container.lock()?;
        let Files { store, image, container, .. } = *files;
        let source = Source::Container { store, image, container, made_now: false };
        let lowest = if settings.chroot { None } else { Some(skeleton(container.dir())?) };
        let plan = mount::Plan { lowest, ..mount::Plan::new(source, Default::default()) };
        Ok((in_use, plan.prepare(privilege)?, settings.lasting_mounts(container)?))
    };
    let (_in_use, prepared, sandbox) = tell(&channel, prepare())?;
    // This process serves the mount, so another one uses it: a process that does both cannot be killed.
    let work = |link: Channel| {
        let Ok(Some((_, Some(root)))) = link.receive() else { return 1 };
        answer_all(&Dir::from(root).into(), &channel);
        0
    };
    let spawned = process::spawn_connected(Namespaces::empty(), work);
    let (worker, link) = tell(&channel, spawned.map_err(failed("start a process")))?;
    let serve = || -> Result<_, CopyError> {
        let served = prepared.serve(&at)?;
        let root = Root::from(Dir::open_host(&at).map_err(self::at(&at))?);
        // What belongs to a volume would be hidden by it at the next start.
        for mount in &mounts::open(&sandbox, &settings.security)? {
            mounts::attach(&root, mount)?;
        }
        link.send(b"root", Some(root.as_fd())).map_err(failed("send to a process"))?;
        Ok(served)
    };
    let served = tell(&channel, serve())?;
    drop((link, channel));
    worker.wait().map_err(drop)?;
    served.end().map_err(drop)
}

/// Reports that the container's files are there, and answers requests until the host side has no more.
fn answer_all(root: &Root, channel: &Channel) {
    if channel.send(&message(&Answer::Done), None).is_err() {
        return;
    }
    while let Ok(Some((request, stream))) = channel.receive() {
        let answer = serde_json::from_slice(&request)
            .map_err(|error| CopyError::Inside(error.to_string()))
            .and_then(|request| answer(root, request, stream));
        let answer = answer.unwrap_or_else(|error| Answer::Failed(mount::one_line(&error)));
        if channel.send(&message(&answer), None).is_err() {
            return;
        }
    }
}

fn answer(root: &Root, request: Request, stream: Option<OwnedFd>) -> Result<Answer, CopyError> {
    let stream = || stream.map(File::from).ok_or_else(|| CopyError::Inside("a request without a stream".into()));
    match request {
        Request::Find { path, follow } => Place::find(root, &path, follow).map(Answer::Found).map_err(at(&path)),
        Request::Pack { place, called } => place.pack(root, &called, stream()?).map(|_| Answer::Done),
        Request::Extract { into, archived } => {
            let owner = if archived { Owner::Archived } else { Owner::One { uid: 0, gid: 0 } };
            let dir = root.open_dir(&into).map_err(at(&into))?;
            tar::extract(stream()?, &dir, owner, Devices::Make)?;
            Ok(Answer::Done)
        }
    }
}
