//! A descriptor of any file, and the changes of attributes that take one.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self as rfs, AtFlags, Gid, Mode, OFlags, Timestamps, Uid};

use super::count::{Call, account, account_as};
use super::process::last_error;
use super::{Errno, File, Result, SetTime, Stat};

/// An `O_PATH` descriptor of any file, itself and not what it points to.
#[derive(Debug)]
pub struct PathFd(OwnedFd);

impl From<OwnedFd> for PathFd {
    fn from(fd: OwnedFd) -> PathFd {
        PathFd(fd)
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

    /// Target of the symbolic link that this is.
    ///
    /// # Errors
    /// As `readlinkat(2)`.
    pub fn read_link(&self) -> Result<OsString> {
        account(Call::Readlink)?;
        let target = rfs::readlinkat(&self.0, c"" as &CStr, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// Opens what this stands for.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open(&self, flags: OFlags) -> Result<File> {
        // Following the link in /proc is what reopening means; it leads to this inode and no other.
        let flags = (flags - OFlags::NOFOLLOW) | OFlags::CLOEXEC | OFlags::NONBLOCK;
        account_as(Call::Open, flags.contains(OFlags::TRUNC))?;
        rfs::open(proc_path(self.as_fd()), flags, Mode::empty()).map(File::from)
    }

    /// As [`open`](Self::open); reading leaves the time of the last access as it is where this process may
    /// have that.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open_quietly(&self, flags: OFlags) -> Result<File> {
        quietly(flags, |flags| self.open(flags))
    }
}

/// Opens with `O_NOATIME`, or without where only the owner may.
pub(super) fn quietly<T>(flags: OFlags, open: impl Fn(OFlags) -> Result<T>) -> Result<T> {
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        other => other,
    }
}

/// The path of an open descriptor: how calls without a descriptor form reach an `O_PATH` one.
pub(super) fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// `fchmodat2`, the call of Linux 6.6 that follows no link and takes an `O_PATH` descriptor. `None` where it may be
/// that there is no such call: the longer way tells.
pub(super) fn change_mode(fd: BorrowedFd<'_>, path: &OsStr, perm: u32, flags: AtFlags) -> Option<Result<()>> {
    /// The same number on every architecture; not every C library has a name for it.
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
        // A filter of system calls that is older than the call answers so too.
        Errno::PERM => None,
        error => Some(Err(error)),
    }
}

/// The mode of what an `O_PATH` descriptor stands for.
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
