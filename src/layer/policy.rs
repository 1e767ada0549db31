//! Policy: how marks and owners are kept on disk, for root and rootless. Found once, by trying.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};

use crate::sys::xattr::{self, Of};
use crate::sys::{Dir, Errno, Kind, Name, Result};

use super::marks::{Mark, Namespace, OVERRIDE_STAT};
use super::ownership::Owners;
use super::whiteout;

/// How this process keeps marks and owners on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where marks are kept.
    pub marks: Namespace,
    /// Where owners are kept.
    pub owners: Owners,
}

/// What is done with redirect marks, which a renamed directory needs to find its lower part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectDir {
    /// A rename leaves a redirect mark; marks are followed.
    On,
    /// Existing marks are followed; a rename makes none.
    Follow,
    /// Marks are not followed: a directory that has one cannot be used.
    NoFollow,
}

impl Policy {
    /// The name on disk of an attribute that a program calls `key`.
    ///
    /// # Errors
    /// `EPERM` for the record of owners; else as [`Namespace::on_disk`].
    pub fn on_disk<'k>(&self, key: &'k OsStr) -> Result<Cow<'k, OsStr>> {
        if self.is_record(key) { Err(Errno::PERM) } else { self.marks.on_disk(key) }
    }

    /// The name that programs see of the attribute that is `key` on disk; `None` if it is private to the layer.
    pub fn shown<'k>(&self, key: &'k OsStr) -> Option<Cow<'k, OsStr>> {
        if self.is_record(key) { None } else { self.marks.shown(key) }
    }

    /// The names on disk of the attributes that programs see: all except those private to the layer.
    ///
    /// # Errors
    /// As `listxattr(2)`.
    pub fn own_xattrs(&self, of: Of<'_>) -> Result<Vec<OsString>> {
        let mut keys = xattr::list(of)?;
        keys.retain(|key| self.shown(key).is_some());
        Ok(keys)
    }

    fn is_record(&self, key: &OsStr) -> bool {
        self.owners == Owners::Recorded && key == OVERRIDE_STAT
    }

    /// Tries with a scratch file in `dir`, which must be writable, what this process may do.
    ///
    /// # Errors
    /// If the scratch file cannot be made or removed.
    pub fn probe(dir: &Dir) -> Result<Policy> {
        let text = format!(".probe-{}", std::process::id());
        let name = Name::new(&text)?;
        dir.remove_all(name)?;
        dir.make_node(name, Kind::Regular, 0o600, 0)?;
        let trusted = Namespace::Trusted.set(Of::Name(dir, name), Mark::Opaque, b"y").is_ok();
        let owners = dir.set_owner(name, Some(1), Some(1)).is_ok();
        dir.remove_file(name)?;
        Ok(Policy {
            marks: if trusted { Namespace::Trusted } else { Namespace::User },
            owners: if owners { Owners::Real } else { Owners::Recorded },
        })
    }

    /// Tries in `dir`, which must be writable, whether its file system can hold an upper layer.
    ///
    /// # Errors
    /// The first error: of making a whiteout, of setting an extended attribute or of the scratch files.
    pub fn check_upper(dir: &Dir) -> Result<()> {
        let (probe, policy) = (Name::new("probe")?, Policy::probe(dir)?);
        whiteout::create(dir, probe)?;
        dir.remove_file(probe)?;
        dir.make_dir(probe, 0o700)?;
        let marked = policy.marks.set(Of::Name(dir, probe), Mark::Opaque, b"y");
        dir.remove_dir(probe)?;
        marked
    }
}
