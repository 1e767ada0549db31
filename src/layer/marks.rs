//! Marks: the private extended attributes by which union file systems annotate a layer.
//!
//! One table, mark by dialect. Every dialect is read, one is written: the kernel's, in the namespace
//! that the [`Policy`](super::Policy) found.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::sys::xattr::{self, Of, Set};
use crate::sys::{self, Errno, Result};

use super::ownership;

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
}

const ALL: [Mark; 6] = [Mark::Opaque, Mark::Redirect, Mark::Metacopy, Mark::Origin, Mark::Impure, Mark::Links];

/// Everything that begins so belongs to a union file system and is not shown.
const PREFIXES: [&[u8]; 3] = [b"trusted.overlay.", b"user.overlay.", b"user.fuseoverlayfs."];

impl Mark {
    /// The attribute's name in each dialect: kernel as root, kernel with `userxattr`, fuse-overlayfs.
    fn keys(self) -> [&'static str; 3] {
        match self {
            Mark::Opaque => ["trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque"],
            Mark::Redirect => ["trusted.overlay.redirect", "user.overlay.redirect", "user.fuseoverlayfs.redirect"],
            Mark::Metacopy => ["trusted.overlay.metacopy", "user.overlay.metacopy", "user.fuseoverlayfs.metacopy"],
            Mark::Origin => ["trusted.overlay.origin", "user.overlay.origin", "user.fuseoverlayfs.origin"],
            Mark::Impure => ["trusted.overlay.impure", "user.overlay.impure", "user.fuseoverlayfs.impure"],
            Mark::Links => ["trusted.overlay.nlink", "user.overlay.nlink", "user.fuseoverlayfs.nlink"],
        }
    }
}

impl Namespace {
    /// The one whose marks this process can read and nobody else could have written.
    pub fn of_this_process() -> Namespace {
        if sys::is_root_of_host() { Namespace::Trusted } else { Namespace::User }
    }

    fn key(self, mark: Mark) -> &'static OsStr {
        let [trusted, user, _] = mark.keys();
        OsStr::new(match self {
            Namespace::Trusted => trusted,
            Namespace::User => user,
        })
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

/// The marks that one file carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(Vec<(Mark, Vec<u8>)>);

impl Marks {
    /// Reads all marks of a file: one system call where there is none.
    ///
    /// A directory may be called opaque in any dialect. What leads elsewhere counts in `namespace` alone: a
    /// mark that anybody may write must not lead root anywhere.
    ///
    /// # Errors
    /// As `listxattr(2)` and `getxattr(2)`.
    pub fn read(of: Of<'_>, namespace: Namespace) -> Result<Marks> {
        let mut marks = Marks::default();
        for key in xattr::list(of)? {
            let means = |mark: &Mark| match mark {
                Mark::Opaque => mark.keys().iter().any(|k| OsStr::new(k) == key),
                _ => namespace.key(*mark) == key,
            };
            if let Some(mark) = ALL.into_iter().find(means)
                && let Some(value) = xattr::get(of, &key)?
            {
                marks.0.push((mark, value));
            }
        }
        Ok(marks)
    }

    pub fn get(&self, mark: Mark) -> Option<&[u8]> {
        self.0.iter().find(|(m, _)| *m == mark).map(|(_, value)| value.as_slice())
    }

    /// Whether the directory hides what is below it. (`x` only says that it may hold xattr whiteouts.)
    pub fn is_opaque(&self) -> bool {
        self.get(Mark::Opaque).is_some_and(|value| value == b"y")
    }
}

/// Whether a directory hides what is below it.
///
/// # Errors
/// As `listxattr(2)` and `getxattr(2)`.
pub fn is_opaque(of: Of<'_>) -> Result<bool> {
    Marks::read(of, Namespace::User).map(|marks| marks.is_opaque())
}

/// Whether `key` belongs to a union file system, so that no user of a mount or image may see or set it.
pub fn is_mark(key: &OsStr) -> bool {
    key == OsStr::new(ownership::KEY) || PREFIXES.iter().any(|prefix| key.as_bytes().starts_with(prefix))
}

/// The attributes that belong to the file itself.
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
        for key in ["trusted.overlay.opaque", "user.overlay.x", "user.fuseoverlayfs.opaque", ownership::KEY] {
            assert!(is_mark(OsStr::new(key)), "{key}");
        }
        for key in ["user.overlayfs", "user.comment", "security.capability", "trusted.overlayed"] {
            assert!(!is_mark(OsStr::new(key)), "{key}");
        }
    }

    #[test]
    fn only_y_makes_a_directory_opaque() {
        let marked = |value: &[u8]| Marks(vec![(Mark::Opaque, value.to_vec())]);
        assert!(marked(b"y").is_opaque());
        assert!(!marked(b"x").is_opaque());
        assert!(!Marks::default().is_opaque());
    }
}
