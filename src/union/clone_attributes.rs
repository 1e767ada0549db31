//! Makes a copy of a file: the empty file with its content, then owner, mode, times and extended attributes.

use std::ffi::OsString;

use crate::layer::{Owners, Recorded, UpperLayer};
use crate::sys::xattr::{self, Of, Set};
use crate::sys::{self, Dir, Errno, File, Kind, Name, OFlags, Result, SetTime, Stat};

use super::Owner;
use super::content_location::At;

/// The content of a copy.
pub(super) enum Bring {
    From(At),
    /// The right size, all of it a hole.
    Size,
    Nothing,
}

/// Makes a file of the kind of `from` with `content`. Returns a regular file open.
pub(super) fn make_like(
    (from, stat): (&At, &Stat),
    like: &Stat,
    (dir, name): (&Dir, Name<'_>),
    owners: Owners,
    content: Bring,
) -> Result<Option<File>> {
    // Makes the file with its final mode if that mode lets the owner finish it.
    let born = |needs: u32| match owners {
        Owners::Real if like.perm & needs == needs => like.perm & 0o777,
        _ => needs,
    };
    match stat.kind {
        Kind::Directory => dir.make_dir(name, born(0o700)).map(|()| None),
        Kind::Symlink => dir.make_symlink(name, &from.read_link()?).map(|()| None),
        Kind::Regular => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
            let to = dir.open_file(name.as_os_str(), flags, born(0o600))?;
            match content {
                Bring::From(from) => sys::copy::contents(&from.open_quietly()?, &to, stat.size)?,
                Bring::Size => to.set_len(stat.size)?,
                Bring::Nothing => {}
            }
            Ok(Some(to))
        }
        kind => {
            let kind = if owners == Owners::Recorded { Kind::Regular } else { kind };
            dir.make_node(name, kind, 0o600, stat.rdev).map(|()| None)
        }
    }
}

/// Gives `to` the owner, mode and times of `like` (what users see of `from`) and the extended attributes `xattrs` of
/// `from`. Returns the `stat` of the result on disk.
pub(super) fn clone_attributes(
    (from, xattrs): (&At, Vec<OsString>),
    like: &Stat,
    to: (&Dir, Name<'_>),
    (upper, owners): (&UpperLayer, Owners),
    own: Owner,
) -> Result<Stat> {
    let (dir, name) = to;
    let of = Of::Name(dir, name);
    if owners == Owners::Real && (like.uid, like.gid) != (own.uid, own.gid) {
        dir.set_owner(name, Some(like.uid), Some(like.gid))?;
    }
    for key in xattrs {
        let Some(value) = from.xattr(&key)? else { continue };
        match xattr::set(of, &key, &value, Set::Any) {
            // Labels that this file system lacks, and attributes that only the host's root may set, are left out.
            Err(Errno::OPNOTSUPP) => {}
            Err(Errno::PERM) if !key.as_encoded_bytes().starts_with(b"user.") => {}
            other => other?,
        }
    }
    dir.set_times(name, SetTime::To(like.atime), SetTime::To(like.mtime))?;
    if owners == Owners::Recorded && like.kind != Kind::Symlink {
        record(dir, name, like)?;
    }
    let made = dir.stat(name)?;
    if owners == Owners::Real && like.is_whiteout_device() {
        upper.stand_for_device(dir, name, like.perm)?;
    } else if owners == Owners::Real && like.kind != Kind::Symlink && made.perm != like.perm {
        dir.set_perm(name, like.perm)?;
    }
    Ok(made)
}

/// Writes `like` into the record of a new file. The real mode keeps read and write access for this process.
pub(super) fn record(dir: &Dir, name: Name<'_>, like: &Stat) -> Result<()> {
    let stat = dir.stat(name)?;
    if !matches!(stat.kind, Kind::Regular | Kind::Directory) {
        return Ok(());
    }
    let open = if stat.kind == Kind::Directory { 0o700 } else { 0o600 };
    dir.set_perm(name, (like.perm & 0o777) | open)?;
    Recorded::of_stat(like).write(Of::Name(dir, name))
}
