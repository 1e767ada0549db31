//! One directory of one layer, open, and what it says of names, whatever the format.

use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sys::xattr::Of;
use crate::sys::{Dir, DirEntry, Kind, Name, Result};

use super::marks::{Mark, Marks, Namespace};
use super::whiteout::{self, Foreign, Listed};
use super::{Found, Seen, see};

/// A directory that is a layer, or in one.
#[derive(Debug)]
pub struct LayerDir {
    dir: Dir,
    /// In whose marks to believe.
    namespace: Namespace,
    foreign: Foreign,
    /// Whether files of the layer stand for devices.
    devices: Arc<AtomicBool>,
}

impl Deref for LayerDir {
    type Target = Dir;
    fn deref(&self) -> &Dir {
        &self.dir
    }
}

impl AsFd for LayerDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl LayerDir {
    /// The root of a layer.
    ///
    /// # Errors
    /// As `getxattr(2)`.
    pub fn new(dir: Dir, namespace: Namespace) -> Result<LayerDir> {
        let devices = Arc::new(AtomicBool::new(namespace.has(Of::fd(&dir), Mark::Devices)?));
        Ok(LayerDir { dir, namespace, foreign: Foreign::default(), devices })
    }

    /// A directory of which nobody but Overfuse and the kernel makes use.
    pub fn of_kernel(dir: Dir, namespace: Namespace) -> LayerDir {
        LayerDir { dir, namespace, foreign: Foreign::nothing(), devices: Arc::default() }
    }

    /// The directory at `path` (one component or several, or `.`).
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open_dir(&self, path: impl AsRef<Path>) -> Result<LayerDir> {
        let dir = self.dir.open_dir(path)?;
        let (namespace, devices) = (self.namespace, self.devices.clone());
        Ok(LayerDir { dir, namespace, foreign: Foreign::default(), devices })
    }

    /// What the layer says of `name` in this directory.
    ///
    /// # Errors
    /// As `fstatat(2)`, but for `ENOENT`, and as `listxattr(2)`; `EINVAL` for a malformed redirect.
    pub fn see(&self, name: Name<'_>) -> Result<Seen> {
        let found = match see(&self.dir, name, self.namespace)? {
            Seen::Nothing => return self.missing(name, false),
            Seen::Whiteout => return Ok(Seen::Whiteout),
            Seen::Entry(found) => found,
        };
        let kind = found.stat.kind;
        if whiteout::is_private(&self.dir, self.namespace, name, kind)? {
            return self.missing(name, true);
        }
        let is_whiteout =
            kind == Kind::Regular && found.stat.size == 0 && self.foreign.is_marked(&self.dir, self.namespace, name)?;
        if is_whiteout {
            return Ok(Seen::Whiteout);
        }
        let opaque = found.opaque
            || kind == Kind::Directory
                && (self.foreign.hides(&self.dir, self.namespace, name)?
                    || whiteout::is_opaque_by_file(&self.dir, self.namespace, Some(name))?);
        Ok(Seen::Entry(Found { opaque, ..found }))
    }

    /// What is said of a name that the directory does not have, or has for others.
    fn missing(&self, name: Name<'_>, private: bool) -> Result<Seen> {
        if self.foreign.hides(&self.dir, self.namespace, name)? {
            return Ok(Seen::Whiteout);
        }
        // A whiteout that is being put into the kernel's format stands there by now.
        match !private && self.foreign.may_have_changed() && self.dir.stat(name).is_ok() {
            true => see(&self.dir, name, self.namespace),
            false => Ok(Seen::Nothing),
        }
    }

    /// The names that the layer has here, and those that it says are gone.
    ///
    /// # Errors
    /// As `getdents(2)`, `fstatat(2)` and `listxattr(2)`.
    pub fn list(&self) -> Result<Listed> {
        self.decode(self.dir.entries()?)
    }

    /// As [`list`](Self::list), without a trace in the directory's time of access.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn list_quietly(&self) -> Result<Listed> {
        self.decode(self.dir.entries_quietly()?)
    }

    fn decode(&self, entries: Vec<DirEntry>) -> Result<Listed> {
        self.foreign.list(&self.dir, self.namespace, entries, self.devices.load(Ordering::Relaxed))
    }

    /// Notes in the root of a layer, which this is, that files of it stand for devices.
    ///
    /// # Errors
    /// As `setxattr(2)`.
    pub(super) fn announce_devices(&self) -> Result<()> {
        if !self.devices.swap(true, Ordering::Relaxed) {
            self.namespace.set(Of::fd(&self.dir), Mark::Devices, b"y")?;
        }
        Ok(())
    }

    /// The directory's own marks.
    ///
    /// # Errors
    /// As `listxattr(2)` and `getxattr(2)`.
    pub fn marks(&self) -> Result<Marks> {
        Marks::read(Of::fd(&self.dir), self.namespace)
    }

    /// Whether the directory hides what is below it.
    ///
    /// # Errors
    /// As [`marks`](Self::marks), and as `fstatat(2)`.
    pub fn is_opaque(&self) -> Result<bool> {
        Ok(self.marks()?.is_opaque() || whiteout::is_opaque_by_file(&self.dir, self.namespace, None)?)
    }

    /// Puts whiteouts of other formats into the kernel's, so that entries can take their places.
    ///
    /// # Errors
    /// As `mknodat(2)`, `setxattr(2)` and `unlinkat(2)`.
    pub fn adopt(&self) -> Result<()> {
        self.foreign.adopt(&self.dir, self.namespace)
    }
}
