//! Copies files between the host and a container, which runs or not.
//!
//! ```text
//!   host side: this process, as the user who called it  ◄──archive──►  container side: a process in its user namespace
//! ```
//!
//! Both sides resolve their own paths, and one tar stream goes between them. The container side stays in the host's mount
//! namespace and uses a descriptor of the container's root, below which it resolves every path as `openat2` does with
//! `RESOLVE_IN_ROOT`. So no link of the container leads to a file of the host, also not one that changes meanwhile, and
//! no code of the container is loaded (CVE-2019-14271, CVE-2018-15664). The host side never follows a link below the
//! directory that the user named.

mod place;
mod rules;
mod worker;

use std::io::{self, IsTerminal, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::enter::EnterError;
use super::error::LaunchError;
use crate::mount;
use crate::privilege::IdPrograms;
use crate::store::{Container, Image, Store, StoreError};
use crate::sys::{Dir, Errno, Root, process};
use crate::tar::{self, Devices, Owner};

use place::Place;
use rules::Goal;
use worker::{Request, Worker};

/// One copy.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Where the files come from.
    pub from: End,
    /// Where they go.
    pub to: End,
    /// Whether files keep the owners that they have at the source.
    pub archive: bool,
    /// Whether a link at the end of the source path is followed.
    pub follow: bool,
}

/// One end of a copy. Exactly one of both ends is in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A path in the container.
    Inside(PathBuf),
    /// An absolute path of the host.
    Host(PathBuf),
    /// An archive on standard input or output.
    Stream,
}

/// Where a container's files come from, when it does not run.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The store that has the container.
    pub store: &'a Store,
    /// The container's image.
    pub image: &'a Image,
    /// The container.
    pub container: &'a Container,
    /// The programs that map subordinate ids.
    pub ids: Option<&'a IdPrograms>,
}

/// Why files could not be copied.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum CopyError {
    #[error("copying between containers is not supported")]
    TwoContainers,
    #[error("neither path names a container: expected CONTAINER:PATH")]
    NoContainer,
    #[error("standard output is a terminal: an archive is not written there")]
    Terminal,
    #[error("{path}")]
    Path { path: PathBuf, source: Errno },
    #[error("{0}: that is a view of the kernel and no data")]
    Kernel(PathBuf),
    #[error("{0} is a device: devices are not copied to the host")]
    Device(PathBuf),
    #[error("{0}: a directory cannot replace a file")]
    OverFile(PathBuf),
    #[error("{0}: the directory does not exist")]
    NoDirectory(PathBuf),
    #[error("{0}: an archive is extracted into a directory, and that is none")]
    NotADirectory(PathBuf),
    #[error("cannot {doing}")]
    Process { doing: &'static str, source: Errno },
    /// The error that the container side reported.
    #[error("{0}")]
    Inside(String),
    #[error(transparent)]
    Archive(#[from] tar::Error),
    #[error(transparent)]
    Enter(#[from] EnterError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Mount(#[from] mount::Error),
    #[error(transparent)]
    Privilege(#[from] crate::privilege::Error),
}

/// Copies, and returns the number of bytes of content; 0 for a stream. The process must have one thread.
#[doc = include_str!("copy.md")]
///
/// # Errors
/// Why not. Files that were copied before the error stay.
pub fn copy(files: &Files<'_>, copy: &Copy) -> Result<u64, CopyError> {
    // So that files get exactly the modes of the source.
    process::set_umask(0);
    match (&copy.from, &copy.to) {
        (End::Inside(from), to) => outward(files, copy, from, to),
        (from, End::Inside(to)) => inward(files, copy, from, to),
        _ => Err(CopyError::NoContainer),
    }
}

/// Out of the container.
fn outward(files: &Files<'_>, copy: &Copy, from: &Path, to: &End) -> Result<u64, CopyError> {
    if let End::Inside(_) = to {
        return Err(CopyError::TwoContainers);
    }
    if *to == End::Stream && io::stdout().is_terminal() {
        return Err(CopyError::Terminal);
    }
    let worker = Worker::start(files)?;
    let found = worker.find(from, copy.follow)?;
    rules::check_source(from, &found)?;
    let pack = |called: PathBuf| Request::Pack { place: found.place.clone(), called };
    let to = match to {
        End::Host(path) => path,
        _ => {
            worker.ask(&pack(rules::name_in_stream(from, &found)), Some(io::stdout().as_fd()))?;
            worker.end()?;
            return Ok(0);
        }
    };
    if matches!(found.kind, Some(kind) if kind.is_device()) {
        return Err(CopyError::Device(from.to_owned()));
    }
    let host = host()?;
    let target = Place::find(&host, to, true).map_err(at(to))?;
    let goal = rules::goal(from, &found, to, &target)?;
    let into = goal.open(&host, to)?;
    let owner = if copy.archive { Owner::Archived } else { Owner::Own };
    let (reader, writer) = pipe()?;
    worker.send(&pack(goal.called), Some(writer.as_fd()))?;
    drop(writer);
    let extracted = tar::extract(reader, &into, owner, Devices::LeaveOut);
    let packed = worker.answer();
    let bytes = match (extracted, packed) {
        // The other side failed only because this one stopped reading.
        (Err(error), Ok(())) => return Err(error.into()),
        (Err(error), Err(_)) if !matches!(error, tar::Error::Truncated { .. }) => return Err(error.into()),
        (_, Err(error)) => return Err(error),
        (Ok(bytes), Ok(())) => bytes,
    };
    worker.end()?;
    Ok(bytes)
}

/// Into the container.
fn inward(files: &Files<'_>, copy: &Copy, from: &End, to: &Path) -> Result<u64, CopyError> {
    let host = host()?;
    let source = match from {
        End::Host(path) => {
            let found = Place::find(&host, path, copy.follow || rules::asserts_directory(path)).map_err(at(path))?;
            rules::check_source(path, &found)?;
            Some((path, found))
        }
        _ => None,
    };
    let worker = Worker::start(files)?;
    let target = worker.find(to, true)?;
    let owner = if copy.archive { Owner::Archived } else { Owner::One { uid: 0, gid: 0 } };
    let extract = |into: PathBuf| Request::Extract { into, archived: owner == Owner::Archived };
    let Some((path, found)) = source else {
        if target.of_kernel {
            return Err(CopyError::Kernel(to.to_owned()));
        }
        let into = target.directory().ok_or_else(|| CopyError::NotADirectory(to.to_owned()))?;
        worker.ask(&extract(into), Some(io::stdin().as_fd()))?;
        worker.end()?;
        return Ok(0);
    };
    let Goal { into, called } = rules::goal(path, &found, to, &target)?;
    let (reader, writer) = pipe()?;
    worker.send(&extract(into), Some(reader.as_fd()))?;
    drop(reader);
    let packed = found.place.pack(&host, &called, writer);
    let extracted = worker.answer();
    let bytes = match (packed, extracted) {
        // This side failed only because the other one stopped reading.
        (Err(CopyError::Archive(tar::Error::Write(_))), Err(error)) => return Err(error),
        (Err(error), _) | (Ok(_), Err(error)) => return Err(error),
        (Ok(bytes), Ok(())) => bytes,
    };
    worker.end()?;
    Ok(bytes)
}

fn host() -> Result<Root, CopyError> {
    Dir::open_host(Path::new("/")).map(Root::from).map_err(at(Path::new("/")))
}

fn pipe() -> Result<(PipeReader, PipeWriter), CopyError> {
    io::pipe().map_err(|error| CopyError::Process {
        doing: "make a pipe",
        source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    })
}

fn at(path: &Path) -> impl FnOnce(Errno) -> CopyError {
    let path = path.to_owned();
    move |source| CopyError::Path { path, source }
}
