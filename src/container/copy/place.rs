//! Finds what a path names below a root, and packs it.

use std::io::Write;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::rules::asserts_directory;
use super::{CopyError, at};
use crate::sys::{self, Errno, Kind, Name, Root};
use crate::tar;

/// The most links that are followed at the end of a path; the kernel's limit.
const LINKS_MAX: usize = 40;

/// A name in a directory, or a directory that has no name of its own, such as the root. Both are paths below a root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    Named { parent: PathBuf, name: PathBuf },
    Directory(PathBuf),
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) place: Place,
    /// `None` where nothing has the name.
    pub(super) kind: Option<FileKind>,
    /// Whether it is a view of the kernel, such as a file of `/proc`.
    pub(super) of_kernel: bool,
}

/// The kinds of files that the rules tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FileKind {
    Directory,
    Symlink,
    Device,
    Other,
}

impl FileKind {
    pub(super) fn is_device(self) -> bool {
        self == FileKind::Device
    }
}

impl From<Kind> for FileKind {
    fn from(kind: Kind) -> FileKind {
        match kind {
            Kind::Directory => FileKind::Directory,
            Kind::Symlink => FileKind::Symlink,
            Kind::CharDevice | Kind::BlockDevice => FileKind::Device,
            Kind::Regular | Kind::Fifo | Kind::Socket => FileKind::Other,
        }
    }
}

impl Found {
    /// Its path, if it is a directory.
    pub(super) fn directory(&self) -> Option<PathBuf> {
        (self.kind == Some(FileKind::Directory)).then(|| self.place.path())
    }
}

impl Place {
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Place::Named { parent, name } => parent.join(name),
            Place::Directory(path) => path.clone(),
        }
    }

    /// Finds what `path` names. With `follow`, a link at its end counts as its target, which may be missing.
    ///
    /// # Errors
    /// As `openat2(2)`; `ENOENT` when the parent is missing; `ENOTDIR` for a file whose path ends as a directory's.
    pub(super) fn find(root: &Root, path: &Path, follow: bool) -> sys::Result<Found> {
        let must_be_directory = asserts_directory(path);
        let follow = follow || must_be_directory;
        let mut path = Path::new("/").join(path);
        for _ in 0..LINKS_MAX {
            let Some(Component::Normal(name)) = path.components().next_back() else {
                // The root, or a path that ends in `..`.
                let of_kernel = sys::is_view_of_kernel(root.open_dir(&path)?)?;
                return Ok(Found { place: Place::Directory(path), kind: Some(FileKind::Directory), of_kernel });
            };
            let (checked, parent) = (Name::new(name)?, path.parent().unwrap_or(Path::new("/")));
            let dir = root.open_dir(parent)?;
            let place = Place::Named { parent: parent.to_owned(), name: name.into() };
            let kind = match dir.stat(checked) {
                Err(Errno::NOENT) => return Ok(Found { place, kind: None, of_kernel: sys::is_view_of_kernel(&dir)? }),
                stat => stat?.kind,
            };
            if kind == Kind::Symlink && follow {
                // A link in /proc to a process's open file has a text, but leads elsewhere.
                if sys::is_on_proc(&dir)? && root.open_path(&path).err() == Some(Errno::LOOP) {
                    return Err(Errno::LOOP);
                }
                path = parent.join(dir.read_link(checked)?);
                continue;
            }
            if must_be_directory && kind != Kind::Directory {
                return Err(Errno::NOTDIR);
            }
            let of_kernel = sys::is_view_of_kernel(dir.open_path(name)?)?;
            return Ok(Found { place, kind: Some(kind.into()), of_kernel });
        }
        Err(Errno::LOOP)
    }

    /// Packs what is there, with the name `called`, and returns the bytes of content.
    ///
    /// # Errors
    /// It cannot be read, or `to` cannot be written to.
    pub(super) fn pack(&self, root: &Root, called: &Path, to: impl Write) -> Result<u64, CopyError> {
        match self {
            Place::Named { parent, name } => {
                let dir = root.open_dir(parent).map_err(at(parent))?;
                Ok(tar::archive(&dir, Some(Name::new(name).map_err(at(name))?), called, to)?)
            }
            Place::Directory(path) => {
                let dir = root.open_dir(path).map_err(at(path))?;
                Ok(tar::archive(&dir, None, called, to)?)
            }
        }
    }
}
