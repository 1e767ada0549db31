//! Marks: the private extended attributes by which union file systems annotate a layer.
//!
//! Two dialects are read: the kernel's, in the namespace that the [`Policy`](super::Policy) found, and the opaque mark
//! of fuse-overlayfs. Only the kernel's dialect is written.
//!
//! As in the kernel, marks in the namespace that is not in use have no meaning. In a `trusted` mount
//! `user.overlay.opaque` is an ordinary attribute: the owner of a file may set it, so it must not hide anything.
//! A program in the mount, such as another union file system, may set attributes that look like marks. They are escaped
//! on disk as the kernel does since 6.7: `trusted.overlay.opaque` becomes `trusted.overlay.overlay.opaque`.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::sys::xattr::{self, Of, Set};
use crate::sys::{self, Errno, Result};

/// Where the kernel keeps its marks: `trusted.overlay.` by default, `user.overlay.` with `userxattr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// `trusted.overlay.*`: only root of the host can read and write them.
    Trusted,
    /// `user.overlay.*`, as with overlayfs's option `userxattr`.
    User,
}

/// One kind of mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// This directory hides directories of the same name in the layers below.
    Opaque,
    /// The layers below have what this directory or metadata-only file continues under another name or path.
    Redirect,
    /// This file has attributes only; a lower layer has its data.
    Metacopy,
    /// The lower file from which this was copied up.
    Origin,
    /// This directory merges with no other, but holds entries that were copied up or moved from lower layers.
    Impure,
    /// Of a file in the hardlink index: the number of names minus the link count.
    Links,
    /// This file or directory is immutable or append-only.
    Protection,
    /// This empty file is a whiteout, if the directory's [`Mark::Opaque`] is `x`.
    Whiteout,
    /// This file is an ordinary file, even if its name means a whiteout in another format. Overfuse's own.
    Plain,
    /// This empty file stands for a character device 0/0 that a program made. Overfuse's own.
    Device,
    /// On the root of a layer: the layer may hold files with [`Mark::Device`]. Overfuse's own.
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
/// Prefixes of Overfuse's own marks, which are reserved in both namespaces because [`Mark::Device`] is read in both. It
/// does no harm even if an ordinary user wrote it.
const OWN_OF_TRUSTED: &str = "trusted.overlay.overfuse.";
const OWN_OF_USER: &str = "user.overlay.overfuse.";
const FUSE_OVERLAYFS: &str = "user.fuseoverlayfs.";
/// What follows the prefix on disk if the attribute belongs to a program.
const ESCAPE: &str = "overlay.";
/// What fuse-overlayfs writes if it may not write the kernel's opaque mark. Its other marks are ignored: they would
/// redirect to other files, and any user may set them.
const FUSE_OVERLAYFS_OPAQUE: &str = "user.fuseoverlayfs.opaque";
/// The attribute in which containers/storage (Podman, Buildah) records the owner, mode and kind that an ordinary user
/// cannot give a file. [`Recorded`](super::Recorded) decodes it.
pub const OVERRIDE_STAT: &str = "user.containers.override_stat";
/// The longest attribute name that Linux accepts, in bytes.
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
    /// The namespace whose marks this process can read and no less privileged user can write.
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

    /// The prefixes that are reserved for marks while this namespace is in use.
    fn prefixes(self) -> [&'static str; 3] {
        match self {
            Namespace::Trusted => [TRUSTED, OWN_OF_USER, FUSE_OVERLAYFS],
            Namespace::User => [USER, OWN_OF_TRUSTED, FUSE_OVERLAYFS],
        }
    }

    /// Splits a `key` that looks like a mark into its prefix and the rest.
    fn split(self, key: &OsStr) -> Option<(&'static str, &[u8])> {
        let behind = |prefix: &'static str| Some((prefix, key.as_bytes().strip_prefix(prefix.as_bytes())?));
        self.prefixes().into_iter().find_map(behind)
    }

    /// The name on disk of an attribute that a program calls `key`.
    ///
    /// # Errors
    /// `EINVAL` for a prefix alone, `EOPNOTSUPP` if the name on disk would be too long.
    pub fn on_disk<'k>(self, key: &'k OsStr) -> Result<Cow<'k, OsStr>> {
        match self.split(key) {
            None => Ok(Cow::Borrowed(key)),
            Some((_, b"")) => Err(Errno::INVAL),
            Some(_) if key.len() + ESCAPE.len() > KEY_MAX => Err(Errno::OPNOTSUPP),
            Some((prefix, rest)) => Ok(Cow::Owned(joined(&[prefix, ESCAPE], rest))),
        }
    }

    /// The name that programs see of the attribute that is `key` on disk; `None` for a mark.
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

    /// Removes a mark of this namespace; a missing mark is no error.
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

/// The marks that one file carries, in any dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    all: Vec<(Mark, Vec<u8>)>,
    /// The file has no extended attribute at all.
    bare: bool,
}

impl Marks {
    /// Reads all marks of a file. A file without extended attributes costs one system call.
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

    /// The value of `mark`, if the file has it.
    pub fn get(&self, mark: Mark) -> Option<&[u8]> {
        self.all.iter().find(|(m, _)| *m == mark).map(|(_, value)| value.as_slice())
    }

    /// Whether the file has no extended attribute at all, neither a mark nor another one.
    pub fn is_bare(&self) -> bool {
        self.bare
    }

    /// Whether the directory hides what is below it.
    pub fn is_opaque(&self) -> bool {
        self.all.iter().any(|(mark, value)| *mark == Mark::Opaque && value == b"y")
    }

    /// Of a file in the hardlink index: the number of names that the union shows, minus the link count of the copy.
    ///
    /// The value is `U+1` or `U-1`, relative to the copy. `L…`, relative to the lower file, is not read: the kernel
    /// writes it only while it changes the count.
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

/// Whether `key` is private to some union file system. Such attributes are neither packed into an archive nor unpacked
/// from one.
pub fn is_mark(key: &OsStr) -> bool {
    let begins = |prefix: &str| key.as_bytes().starts_with(prefix.as_bytes());
    key == OsStr::new(OVERRIDE_STAT) || [TRUSTED, USER, FUSE_OVERLAYFS].into_iter().any(begins)
}

/// The names of the file's attributes that an archive takes: all except marks.
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
