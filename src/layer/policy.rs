//! Policy: every difference between root and rootless, found by trying, once.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};

use crate::sys::xattr::{self, Of};
use crate::sys::{Dir, Errno, Kind, Name, Result};

use super::marks::{Mark, Namespace, OVERRIDE_STAT};
use super::ownership::Owners;
use super::whiteout;

/// How this process keeps on disk what a layer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub marks: Namespace,
    pub owners: Owners,
}

/// What is done with directories that were renamed, and so continue elsewhere below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectDir {
    /// A rename leaves a redirect mark; marks are followed.
    On,
    /// Marks that exist are followed; none is made.
    Follow,
    /// Marks are not followed: what has one cannot be entered.
    NoFollow,
}

impl Policy {
    /// Where an attribute is kept that a program calls `key`.
    ///
    /// # Errors
    /// `EPERM` for the record of owners; else as [`Namespace::on_disk`].
    pub fn on_disk<'k>(&self, key: &'k OsStr) -> Result<Cow<'k, OsStr>> {
        if self.is_record(key) { Err(Errno::PERM) } else { self.marks.on_disk(key) }
    }

    /// What programs call the attribute that is kept as `key`; `None` for what is private to the layer.
    pub fn shown<'k>(&self, key: &'k OsStr) -> Option<Cow<'k, OsStr>> {
        if self.is_record(key) { None } else { self.marks.shown(key) }
    }

    /// The attributes that a file has of its own, as they are called on disk.
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

    /// Tries in a scratch file of `dir`, which must be writable, what this process may do.
    ///
    /// # Errors
    /// When the scratch file can be neither made nor removed.
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
    /// The first refusal, of a whiteout or an extended attribute.
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
