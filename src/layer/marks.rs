//! Marks: the private extended attributes by which union file systems annotate a layer.
//!
//! One table, mark by dialect. Two are read: the kernel's, in the namespace that the
//! [`Policy`](super::Policy) found, and that of fuse-overlayfs as far as it does no harm. The first is written.
//!
//! The namespace that is not in use means nothing here, as in the kernel: `user.overlay.opaque` in a
//! `trusted` mount is an attribute like any other, which its owner may set, and so must have no power.
//! Attributes that look like marks and belong to a program, which may be another union file system in the mount,
//! are kept apart by an escape, the kernel's since 6.7: `trusted.overlay.opaque` is on disk
//! `trusted.overlay.overlay.opaque`.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::sys::xattr::{self, Of, Set};
use crate::sys::{self, Errno, Result};

/// Where the kernel keeps its marks: `trusted.overlay.` by default, `user.overlay.` with `userxattr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    Trusted,
    User,
}

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// This directory hides those of the same name below it.
    Opaque,
    /// This directory or metadata-only file continues elsewhere below.
    Redirect,
    /// This file holds attributes only; its data is below.
    Metacopy,
    /// The file below from which this was copied up.
    Origin,
    /// This directory merges with nothing, but holds what came from below.
    Impure,
    /// How many names a file of the index has, beside those in the upper layer.
    Links,
    /// What nobody may change, or may only add to.
    Protection,
    /// This empty file is a whiteout, if the directory's [`Mark::Opaque`] says that it may hold such.
    Whiteout,
    /// This file is itself, whatever its name would mean in a layer of another format. Overfuse's own.
    Plain,
    /// This empty file stands for a character device 0/0 that a program made. Overfuse's own.
    Device,
    /// In this layer, of which this is the root, there are such files. Overfuse's own.
    Devices,
}

const ALL: [Mark; 11] = [
    Mark::Opaque,
    Mark::Redirect,
    Mark::Metacopy,
    Mark::Origin,
    Mark::Impure,
    Mark::Links,
    Mark::Protection,
    Mark::Whiteout,
    Mark::Plain,
    Mark::Device,
    Mark::Devices,
];

const TRUSTED: &str = "trusted.overlay.";
const USER: &str = "user.overlay.";
/// Overfuse's own marks, which say nothing that depends on who may have written them, are believed in either.
const OWN_OF_TRUSTED: &str = "trusted.overlay.overfuse.";
const OWN_OF_USER: &str = "user.overlay.overfuse.";
const FUSE_OVERLAYFS: &str = "user.fuseoverlayfs.";
/// What a program's attribute has after the prefix on disk.
const ESCAPE: &str = "overlay.";
/// What fuse-overlayfs writes where it may not write the kernel's mark. Its other marks would lead
/// elsewhere, which is nothing to believe of an attribute that everybody may set.
const FUSE_OVERLAYFS_OPAQUE: &str = "user.fuseoverlayfs.opaque";
/// The attribute in which containers/storage, and so Podman and Buildah, record attributes that an
/// ordinary user cannot give a file. [`Recorded`](super::Recorded) is what it says.
pub const OVERRIDE_STAT: &str = "user.containers.override_stat";
/// The longest name of an attribute that Linux takes, in bytes.
const KEY_MAX: usize = 255;

impl Mark {
    /// The attribute's name in each namespace of the kernel.
    fn keys(self) -> [&'static str; 2] {
        match self {
            Mark::Opaque => ["trusted.overlay.opaque", "user.overlay.opaque"],
            Mark::Redirect => ["trusted.overlay.redirect", "user.overlay.redirect"],
            Mark::Metacopy => ["trusted.overlay.metacopy", "user.overlay.metacopy"],
            Mark::Origin => ["trusted.overlay.origin", "user.overlay.origin"],
            Mark::Impure => ["trusted.overlay.impure", "user.overlay.impure"],
            Mark::Links => ["trusted.overlay.nlink", "user.overlay.nlink"],
            Mark::Protection => ["trusted.overlay.protattr", "user.overlay.protattr"],
            Mark::Whiteout => ["trusted.overlay.whiteout", "user.overlay.whiteout"],
            Mark::Plain => ["trusted.overlay.overfuse.plain", "user.overlay.overfuse.plain"],
            Mark::Device => ["trusted.overlay.overfuse.device", "user.overlay.overfuse.device"],
            Mark::Devices => ["trusted.overlay.overfuse.devices", "user.overlay.overfuse.devices"],
        }
    }
}

impl Namespace {
    /// The one whose marks this process can read and nobody else could have written.
    pub fn of_this_process() -> Namespace {
        if sys::is_root_of_host() { Namespace::Trusted } else { Namespace::User }
    }

    fn key(self, mark: Mark) -> &'static OsStr {
        let [trusted, user] = mark.keys();
        OsStr::new(match self {
            Namespace::Trusted => trusted,
            Namespace::User => user,
        })
    }

    /// What marks begin with, as far as any is believed.
    fn prefixes(self) -> [&'static str; 3] {
        match self {
            Namespace::Trusted => [TRUSTED, OWN_OF_USER, FUSE_OVERLAYFS],
            Namespace::User => [USER, OWN_OF_TRUSTED, FUSE_OVERLAYFS],
        }
    }

    /// The prefix of `key` that makes it look like a mark, and what comes behind.
    fn split(self, key: &OsStr) -> Option<(&'static str, &[u8])> {
        let behind = |prefix: &'static str| Some((prefix, key.as_bytes().strip_prefix(prefix.as_bytes())?));
        self.prefixes().into_iter().find_map(behind)
    }

    /// Where an attribute is kept that a program calls `key`.
    ///
    /// # Errors
    /// `EINVAL` for a prefix alone, `EOPNOTSUPP` for what is too long on disk.
    pub fn on_disk<'k>(self, key: &'k OsStr) -> Result<Cow<'k, OsStr>> {
        match self.split(key) {
            None => Ok(Cow::Borrowed(key)),
            Some((_, b"")) => Err(Errno::INVAL),
            Some(_) if key.len() + ESCAPE.len() > KEY_MAX => Err(Errno::OPNOTSUPP),
            Some((prefix, rest)) => Ok(Cow::Owned(joined(&[prefix, ESCAPE], rest))),
        }
    }

    /// What programs call the attribute that is kept as `key`; `None` for a mark.
    pub fn shown<'k>(self, key: &'k OsStr) -> Option<Cow<'k, OsStr>> {
        let Some((prefix, rest)) = self.split(key) else { return Some(Cow::Borrowed(key)) };
        match rest.strip_prefix(ESCAPE.as_bytes()) {
            None | Some(b"") => None,
            Some(rest) => Some(Cow::Owned(joined(&[prefix], rest))),
        }
    }

    /// Whether a file has a mark.
    ///
    /// # Errors
    /// As `getxattr(2)`.
    pub fn has(self, of: Of<'_>, mark: Mark) -> Result<bool> {
        Ok(xattr::get(of, self.key(mark))?.is_some())
    }

    /// Writes a mark in this namespace.
    ///
    /// # Errors
    /// As `setxattr(2)`.
    pub fn set(self, of: Of<'_>, mark: Mark, value: &[u8]) -> Result<()> {
        xattr::set(of, self.key(mark), value, Set::Any)
    }

    /// Removes a mark of this namespace; one that is not there is no error.
    ///
    /// # Errors
    /// As `removexattr(2)`.
    pub fn clear(self, of: Of<'_>, mark: Mark) -> Result<()> {
        match xattr::remove(of, self.key(mark)) {
            Err(Errno::NODATA) => Ok(()),
            other => other,
        }
    }
}

fn joined(prefixes: &[&str], rest: &[u8]) -> OsString {
    let mut key = OsString::from(prefixes.concat());
    key.push(OsStr::from_bytes(rest));
    key
}

/// The marks that one file carries, whatever the dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    all: Vec<(Mark, Vec<u8>)>,
    /// The file carries no attribute at all.
    bare: bool,
}

impl Marks {
    /// Reads all marks of a file: one system call where there is none.
    ///
    /// # Errors
    /// As `listxattr(2)` and `getxattr(2)`.
    pub fn read(of: Of<'_>, namespace: Namespace) -> Result<Marks> {
        let keys = xattr::list(of)?;
        let mut marks = Marks { all: Vec::new(), bare: keys.is_empty() };
        for key in keys {
            let mark = match key == FUSE_OVERLAYFS_OPAQUE {
                true => Some(Mark::Opaque),
                false => ALL.into_iter().find(|&mark| namespace.key(mark) == key),
            };
            if let Some(mark) = mark
                && let Some(value) = xattr::get(of, &key)?
            {
                marks.all.push((mark, value));
            }
        }
        Ok(marks)
    }

    pub fn get(&self, mark: Mark) -> Option<&[u8]> {
        self.all.iter().find(|(m, _)| *m == mark).map(|(_, value)| value.as_slice())
    }

    /// Whether the file carries no attribute at all, neither mark nor other.
    pub fn is_bare(&self) -> bool {
        self.bare
    }

    /// Whether the directory hides what is below it.
    pub fn is_opaque(&self) -> bool {
        self.all.iter().any(|(mark, value)| *mark == Mark::Opaque && value == b"y")
    }

    /// How many names the union shows of a file of the index, less the links that the copy has.
    ///
    /// `U+1` or `U-1`: relative to the links of the copy. (`L…`, relative to the file below, is what the kernel
    /// writes for the moment of a change.)
    pub fn hidden_links(&self) -> Option<i64> {
        std::str::from_utf8(self.get(Mark::Links)?).ok()?.strip_prefix('U')?.parse().ok()
    }

    /// Whether the directory may hold whiteouts that are files with [`Mark::Whiteout`].
    pub fn may_hold_whiteouts(&self) -> bool {
        self.all.iter().any(|(mark, value)| *mark == Mark::Opaque && value == b"x")
    }
}

/// Whether a directory hides what is below it.
///
/// # Errors
/// As `listxattr(2)` and `getxattr(2)`.
pub fn is_opaque(of: Of<'_>, namespace: Namespace) -> Result<bool> {
    Marks::read(of, namespace).map(|marks| marks.is_opaque())
}

/// Whether `key` is private to a union file system of whatever kind, so that it must not leave in an archive,
/// nor come from one.
pub fn is_mark(key: &OsStr) -> bool {
    let begins = |prefix: &str| key.as_bytes().starts_with(prefix.as_bytes());
    key == OsStr::new(OVERRIDE_STAT) || [TRUSTED, USER, FUSE_OVERLAYFS].into_iter().any(begins)
}

/// The attributes that belong to the file itself, in an archive.
///
/// # Errors
/// As `listxattr(2)`.
pub fn visible_xattrs(of: Of<'_>) -> Result<Vec<OsString>> {
    let mut keys = xattr::list(of)?;
    keys.retain(|key| !is_mark(key));
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_attributes_of_every_dialect_are_recognised() {
        for key in ["trusted.overlay.opaque", "user.overlay.x", "user.fuseoverlayfs.opaque", OVERRIDE_STAT] {
            assert!(is_mark(OsStr::new(key)), "{key}");
        }
        for key in ["user.overlayfs", "user.comment", "security.capability", "trusted.overlayed"] {
            assert!(!is_mark(OsStr::new(key)), "{key}");
        }
    }

    #[test]
    fn attributes_of_programs_are_kept_apart_from_marks() {
        for (namespace, key, disk) in [
            (Namespace::Trusted, "user.k", "user.k"),
            (Namespace::Trusted, "trusted.overlay", "trusted.overlay"),
            (Namespace::Trusted, "trusted.overlay.opaque", "trusted.overlay.overlay.opaque"),
            (Namespace::Trusted, "trusted.overlay.overlay.x", "trusted.overlay.overlay.overlay.x"),
            (Namespace::Trusted, "user.overlay.opaque", "user.overlay.opaque"),
            (Namespace::Trusted, "user.overlay.overfuse.device", "user.overlay.overfuse.overlay.device"),
            (Namespace::User, "user.overlay.opaque", "user.overlay.overlay.opaque"),
            (Namespace::User, "trusted.overlay.opaque", "trusted.overlay.opaque"),
            (Namespace::User, "user.fuseoverlayfs.opaque", "user.fuseoverlayfs.overlay.opaque"),
        ] {
            let kept = namespace.on_disk(OsStr::new(key)).unwrap();
            assert_eq!((&*kept, namespace.shown(&kept).as_deref()), (OsStr::new(disk), Some(OsStr::new(key))));
        }
    }

    #[test]
    fn what_no_program_may_have_is_refused_and_not_shown() {
        let long = format!("trusted.overlay.{}", "k".repeat(232));
        for (key, error) in [("trusted.overlay.", Errno::INVAL), (long.as_str(), Errno::OPNOTSUPP)] {
            assert_eq!(Namespace::Trusted.on_disk(OsStr::new(key)).unwrap_err(), error, "{key}");
        }
        assert!(Namespace::Trusted.on_disk(OsStr::new(&long[1..])).is_ok());
        assert!(Namespace::Trusted.on_disk(OsStr::new(&long[..247])).is_ok());
        for key in ["trusted.overlay.opaque", "trusted.overlay.", "trusted.overlay.overlay.", "user.fuseoverlayfs.x"] {
            assert_eq!(Namespace::Trusted.shown(OsStr::new(key)), None, "{key}");
        }
    }

    #[test]
    fn only_y_makes_a_directory_opaque() {
        let marked = |value: &[u8]| Marks { all: vec![(Mark::Opaque, value.to_vec())], bare: false };
        assert!(marked(b"y").is_opaque());
        assert!(!marked(b"x").is_opaque());
        assert!(marked(b"x").may_hold_whiteouts());
        assert!(!Marks::default().is_opaque());
    }

    #[test]
    fn link_counts_are_read_as_the_kernel_writes_them() {
        for (text, hidden) in [("U+0", Some(0)), ("U+2", Some(2)), ("U-1", Some(-1)), ("L+0", None), ("U", None)] {
            let marks = Marks { all: vec![(Mark::Links, text.into())], bare: false };
            assert_eq!(marks.hidden_links(), hidden, "{text}");
        }
    }
}
