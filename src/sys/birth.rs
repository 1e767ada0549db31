//! When a file was made, where its file system knows.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{self as rfs, AtFlags, StatxFlags};

use super::count::{Call, account};
use super::xattr::Of;
use super::{Result, Timestamp};

/// # Errors
/// As `statx(2)`.
pub fn birth_time(of: Of<'_>) -> Result<Option<Timestamp>> {
    let ask = |fd: BorrowedFd<'_>, path: &OsStr, flags| {
        account(Call::Stat)?;
        rfs::statx(fd, path, flags, StatxFlags::BTIME)
    };
    let told = match of {
        Of::Name(dir, name) => ask(dir.as_fd(), name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW)?,
        Of::Dir(dir) => ask(dir.as_fd(), OsStr::new(""), AtFlags::EMPTY_PATH)?,
        Of::Fd(fd) => ask(fd, OsStr::new(""), AtFlags::EMPTY_PATH)?,
    };
    let knows = told.stx_mask & StatxFlags::BTIME.bits() != 0;
    Ok(knows.then_some(Timestamp { sec: told.stx_btime.tv_sec, nsec: told.stx_btime.tv_nsec }))
}
