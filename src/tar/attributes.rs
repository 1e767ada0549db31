//! Sets owner, mode, times and xattrs of an unpacked file, as the policy keeps them.

use std::ffi::OsStr;

use super::Error;
use super::entry::Entry;
use super::tree::Finish;
use crate::layer::marks::{is_mark, visible_xattrs};
use crate::layer::{Owners, Recorded};
use crate::sys::xattr::{self, Of, Set};
use crate::sys::{self, Errno, Kind, PathFd, SetTime};

/// Attributes that belong to one host and not to the file: they are neither packed nor unpacked.
const OF_HOST: [&str; 2] = ["security.selinux", "system.nfs4_acl"];

/// What users see of a file: its kind and, for a device, its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub kind: Kind,
    pub rdev: u64,
}

/// Gives `fd`, which was made for `entry`, the attributes of the entry. Does not set mode and time of a directory,
/// because its entries are still to be made; returns them to be set at the end.
///
/// # Errors
/// `Owner` for ids that this user namespace does not map; else the first error, with the path.
pub(super) fn apply(owners: Owners, fd: &PathFd, shown: Shown, entry: &Entry) -> Result<Finish, Error> {
    let fail = |action| move |source| Error::Tree { path: entry.path.clone(), action, source };
    let perm = match owners {
        // The owner comes first: changing it takes set-id bits and capabilities away.
        Owners::Real => {
            fd.set_owner(Some(entry.uid), Some(entry.gid)).map_err(|error| match error {
                Errno::INVAL => Error::Owner { path: entry.path.clone(), uid: entry.uid, gid: entry.gid },
                source => fail("set its owner")(source),
            })?;
            entry.perm
        }
        Owners::Recorded => {
            if shown.kind != Kind::Symlink {
                let Shown { kind, rdev } = shown;
                Recorded { uid: entry.uid, gid: entry.gid, perm: entry.perm, kind: Some(kind), rdev }
                    .write(Of::fd(fd))
                    .map_err(fail("record its owner"))?;
            }
            // The daemon runs as this user and must be able to read the file for the users of the mount.
            entry.perm & 0o777 | if shown.kind == Kind::Directory { 0o700 } else { 0o600 }
        }
    };
    replace_xattrs(fd, entry)?;
    let finish = Finish { perm, mtime: entry.mtime };
    if shown.kind != Kind::Directory {
        if shown.kind != Kind::Symlink {
            fd.set_perm(perm).map_err(fail("set its mode"))?;
        }
        let time = SetTime::To(entry.mtime);
        fd.set_times(time, time).map_err(fail("set its time"))?;
    }
    Ok(finish)
}

/// Sets the xattrs of the entry and removes all others: a new file may have inherited an ACL, and a directory that
/// occurs twice in the archive may have xattrs already.
fn replace_xattrs(fd: &PathFd, entry: &Entry) -> Result<(), Error> {
    let of = Of::fd(fd);
    let fail = |action| move |source| Error::Tree { path: entry.path.clone(), action, source };
    for key in visible_xattrs(of).map_err(fail("list its extended attributes"))? {
        if !is_of_host(&key) {
            xattr::remove(of, &key)
                .or_else(not_permitted(entry, &key))
                .map_err(fail("remove an extended attribute"))?;
        }
    }
    for (key, value) in &entry.xattrs {
        // Marks in an archive would act on layers below this one.
        if is_mark(key) || is_of_host(key) {
            tracing::debug!(path = ?entry.path, ?key, "dropped a private attribute");
            continue;
        }
        xattr::set(of, key, value, Set::Any).or_else(not_permitted(entry, key)).map_err(|source| Error::Xattr {
            path: entry.path.clone(),
            key: key.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Whether the attribute belongs to one host and not to the file.
pub(super) fn is_of_host(key: &OsStr) -> bool {
    OF_HOST.iter().any(|host| key == *host)
}

/// Skips attributes that this user may not set or the file system does not support, with a warning, as other tools do.
fn not_permitted(entry: &Entry, key: &OsStr) -> impl FnOnce(Errno) -> sys::Result<()> {
    move |error| match error {
        Errno::PERM | Errno::OPNOTSUPP => {
            tracing::warn!(path = ?entry.path, ?key, %error, "left out an extended attribute");
            Ok(())
        }
        other => Err(other),
    }
}
