//! `O_PATH` descriptors of any kind of file, and changes of attributes through them.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self as rfs, AtFlags, Gid, Mode, OFlags, Timestamps, Uid};

use super::count::{Call, account, account_as};
use super::process::last_error;
use super::{Errno, File, Result, SetTime, Stat};

/// An `O_PATH` descriptor of any kind of file; of a symbolic link itself, not of its target.
#[derive(Debug)]
pub struct PathFd(OwnedFd);

impl From<OwnedFd> for PathFd {
    fn from(fd: OwnedFd) -> PathFd {
        PathFd(fd)
    }
}

impl From<PathFd> for OwnedFd {
    fn from(file: PathFd) -> OwnedFd {
        file.0
    }
}

impl AsFd for PathFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl PathFd {
    /// # Errors
    /// As `fstat(2)`.
    pub fn stat(&self) -> Result<Stat> {
        account(Call::Stat)?;
        rfs::fstat(&self.0).map(Stat::from)
    }

    /// # Errors
    /// As `chmod(2)`.
    pub fn set_perm(&self, perm: u32) -> Result<()> {
        change_own_mode(self.as_fd(), perm)
    }

    /// # Errors
    /// As `fchownat(2)`.
    pub fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        change_owner(self.as_fd(), OsStr::new(""), (uid, gid), AtFlags::EMPTY_PATH)
    }

    /// # Errors
    /// As `utimensat(2)`.
    pub fn set_times(&self, atime: SetTime, mtime: SetTime) -> Result<()> {
        change_times(self.as_fd(), OsStr::new(""), (atime, mtime), AtFlags::EMPTY_PATH)
    }

    /// The target, when this is a symbolic link.
    ///
    /// # Errors
    /// As `readlinkat(2)`.
    pub fn read_link(&self) -> Result<OsString> {
        account(Call::Readlink)?;
        let target = rfs::readlinkat(&self.0, c"" as &CStr, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// Opens the file for reading or writing.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open(&self, flags: OFlags) -> Result<File> {
        // Opening the link in /proc must follow it; it leads to exactly this inode.
        let flags = (flags - OFlags::NOFOLLOW) | OFlags::CLOEXEC | OFlags::NONBLOCK;
        account_as(Call::Open, flags.contains(OFlags::TRUNC))?;
        rfs::open(proc_path(self.as_fd()), flags, Mode::empty()).map(File::from)
    }

    /// As [`open`](Self::open), but reading leaves the access time unchanged where this process may do that.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open_quietly(&self, flags: OFlags) -> Result<File> {
        quietly(flags, |flags| self.open(flags))
    }
}

/// Opens with `O_NOATIME`, which only the owner or a privileged process may use; else without it.
pub(super) fn quietly<T>(flags: OFlags, open: impl Fn(OFlags) -> Result<T>) -> Result<T> {
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        other => other,
    }
}

/// The path of an open descriptor in `/proc`, for system calls that take no `O_PATH` descriptor.
pub(super) fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// `fchmodat2` (Linux 6.6), which does not follow a link and takes an `O_PATH` descriptor. `None` when the call may be
/// missing: the caller then changes the mode through `/proc`, which gives the true error.
pub(super) fn change_mode(fd: BorrowedFd<'_>, path: &OsStr, perm: u32, flags: AtFlags) -> Option<Result<()>> {
    /// The number is the same on every architecture; some C libraries do not name it.
    const FCHMODAT2: libc::c_long = 452;
    static EXISTS: AtomicBool = AtomicBool::new(true);
    if !EXISTS.load(Ordering::Relaxed) {
        return None;
    }
    let Ok(path) = CString::new(path.as_bytes()) else { return Some(Err(Errno::INVAL)) };
    if let Err(error) = account(Call::Chmod) {
        return Some(Err(error));
    }
    // SAFETY: the path is NUL-terminated and outlives the call.
    let done = unsafe { libc::syscall(FCHMODAT2, fd.as_raw_fd(), path.as_ptr(), perm, flags.bits()) };
    if done == 0 {
        return Some(Ok(()));
    }
    match last_error() {
        Errno::NOSYS => {
            EXISTS.store(false, Ordering::Relaxed);
            None
        }
        // Old seccomp filters return EPERM for calls that they do not know.
        Errno::PERM => None,
        error => Some(Err(error)),
    }
}

/// Sets the mode of the file that an `O_PATH` descriptor refers to.
pub(super) fn change_own_mode(fd: BorrowedFd<'_>, perm: u32) -> Result<()> {
    change_mode(fd, OsStr::new(""), perm, AtFlags::EMPTY_PATH).unwrap_or_else(|| {
        account(Call::Chmod)?;
        rfs::chmod(proc_path(fd), Mode::from_raw_mode(perm))
    })
}

pub(super) fn change_owner(
    fd: BorrowedFd<'_>,
    path: &OsStr,
    (uid, gid): (Option<u32>, Option<u32>),
    flags: AtFlags,
) -> Result<()> {
    account(Call::Chown)?;
    rfs::chownat(fd, path, uid.map(Uid::from_raw), gid.map(Gid::from_raw), flags)
}

pub(super) fn change_times(
    fd: BorrowedFd<'_>,
    path: &OsStr,
    (atime, mtime): (SetTime, SetTime),
    flags: AtFlags,
) -> Result<()> {
    let one = |time| match time {
        SetTime::Keep => rfs::Timespec { tv_sec: 0, tv_nsec: rfs::UTIME_OMIT },
        SetTime::Now => rfs::Timespec { tv_sec: 0, tv_nsec: rfs::UTIME_NOW },
        SetTime::To(time) => time.to_timespec(),
    };
    let times = Timestamps { last_access: one(atime), last_modification: one(mtime) };
    account(Call::Utimens)?;
    rfs::utimensat(fd, path, &times, flags)
}
