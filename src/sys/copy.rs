//! Copies a file's content, by reflink where the file system can, else inside the kernel, hole by hole; and its
//! attributes.

use super::count::{Call, account_as};
use super::xattr::{self, Of, Set};
use super::{Errno, File, Kind, PathFd, Result, SeekTo, SetTime};

/// The most bytes that one `copy_file_range` moves; a signal can stop the copy between two calls.
const PIECE: usize = 64 << 20;
const BUFFER: usize = 1 << 20;

/// Makes `to`, which is empty, equal to the `size` bytes of `from`; holes stay holes.
///
/// # Errors
/// The first error of reading or writing; `to` is then incomplete.
pub fn contents(from: &File, to: &File, size: u64) -> Result<()> {
    if size == 0 {
        return Ok(());
    }
    let cloned = account_as(Call::Ioctl, true).and_then(|()| rustix::fs::ioctl_ficlone(to, from));
    if cloned.is_ok() {
        return Ok(());
    }
    let mut at = 0;
    while at < size {
        let data = match from.seek(SeekTo::Data, at) {
            Ok(data) => data.min(size),
            Err(Errno::NXIO) => break,
            // A file system that cannot report holes: treat all as data.
            Err(Errno::INVAL) => at,
            Err(e) => return Err(e),
        };
        let end = from.seek(SeekTo::Hole, data).unwrap_or(size).min(size);
        range(from, to, data, end)?;
        at = end.max(data + 1);
    }
    // Copying data does not create a hole at the end of the file.
    if to.stat()?.size < size { to.set_len(size) } else { Ok(()) }
}

/// Gives `to`, a file of the same kind, the owner, mode, extended attributes and times of `from`.
///
/// An owner that this process may not give, and attributes that it may not set, are left out; a set-id bit goes with
/// its owner.
///
/// # Errors
/// The first error of another kind.
pub fn attributes(from: &PathFd, to: &PathFd) -> Result<()> {
    let like = from.stat()?;
    let owned = match to.set_owner(Some(like.uid), Some(like.gid)) {
        Ok(()) => true,
        // The id is not mapped in this user namespace.
        Err(Errno::PERM | Errno::INVAL) => false,
        Err(e) => return Err(e),
    };
    for key in xattr::list(Of::fd(from))? {
        let Some(value) = xattr::get(Of::fd(from), &key)? else { continue };
        match xattr::set(Of::fd(to), &key, &value, Set::Any) {
            Err(Errno::OPNOTSUPP) => {}
            Err(Errno::PERM) if !key.as_encoded_bytes().starts_with(b"user.") => {}
            other => other?,
        }
    }
    // After the owner, whose change clears set-id bits; a symbolic link has no mode.
    if like.kind != Kind::Symlink {
        to.set_perm(if owned { like.perm } else { like.perm & 0o1777 })?;
    }
    to.set_times(SetTime::To(like.atime), SetTime::To(like.mtime))
}

fn range(from: &File, to: &File, mut at: u64, end: u64) -> Result<()> {
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
        match to.copy_range_from(from, at, at, want) {
            Ok(0) => return Ok(()),
            Ok(n) => at += n as u64,
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                return by_hand(from, to, at, end);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn by_hand(from: &File, to: &File, mut at: u64, end: u64) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
        let got = from.read_at(&mut buffer[..want], at)?;
        if got == 0 {
            return Ok(());
        }
        let mut written = 0;
        while written < got {
            written += to.write_at(&buffer[written..got], at + written as u64)?;
        }
        at += got as u64;
    }
    Ok(())
}
