//! Extended attributes, of a name in a directory or of an open file.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{self as rfs, XattrFlags};

use super::dir::proc_path;
use super::{Dir, Errno, Name, Result};

/// The largest value and the largest list that Linux passes, in bytes.
const SIZE_MAX: usize = 64 << 10;

/// Whose attributes. `Fd` may be an `O_PATH` descriptor, also of a symbolic link.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    Name(&'a Dir, Name<'a>),
    Fd(BorrowedFd<'a>),
}

/// Whether the attribute must, must not, or may exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    Any,
    Create,
    Replace,
}

impl<'a> Of<'a> {
    pub fn fd(fd: &'a impl AsFd) -> Of<'a> {
        Of::Fd(fd.as_fd())
    }

    /// The path to ask, and whether a link at its end is to be followed (only the one in /proc is).
    fn path(self) -> (Vec<u8>, bool) {
        match self {
            Of::Name(dir, name) => (dir.xattr_path(name), false),
            Of::Fd(fd) => (proc_path(fd).into_bytes(), true),
        }
    }
}

/// The value of `key`, or `None` where there is no such attribute, or none of its namespace.
///
/// # Errors
/// As `getxattr(2)`, but for `ENODATA` and `EOPNOTSUPP`.
pub fn get(of: Of<'_>, key: &OsStr) -> Result<Option<Vec<u8>>> {
    match get_strict(of, key) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The value of `key`; its absence is an error.
///
/// # Errors
/// As `getxattr(2)`.
pub fn get_strict(of: Of<'_>, key: &OsStr) -> Result<Vec<u8>> {
    let (path, follow) = of.path();
    read_sized(|buffer| {
        if follow { rfs::getxattr(path.as_slice(), key, buffer) } else { rfs::lgetxattr(path.as_slice(), key, buffer) }
    })
}

/// The names of all attributes; none where the file system has no attributes.
///
/// # Errors
/// As `listxattr(2)`, but for `EOPNOTSUPP`.
pub fn list(of: Of<'_>) -> Result<Vec<OsString>> {
    let (path, follow) = of.path();
    let raw = read_sized(|buffer| {
        if follow { rfs::listxattr(path.as_slice(), buffer) } else { rfs::llistxattr(path.as_slice(), buffer) }
    });
    let raw = match raw {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    Ok(raw.split(|&b| b == 0).filter(|n| !n.is_empty()).map(|n| OsStr::from_bytes(n).to_owned()).collect())
}

/// # Errors
/// As `setxattr(2)`.
pub fn set(of: Of<'_>, key: &OsStr, value: &[u8], how: Set) -> Result<()> {
    let (path, follow) = of.path();
    let flags = match how {
        Set::Any => XattrFlags::empty(),
        Set::Create => XattrFlags::CREATE,
        Set::Replace => XattrFlags::REPLACE,
    };
    if follow {
        rfs::setxattr(path.as_slice(), key, value, flags)
    } else {
        rfs::lsetxattr(path.as_slice(), key, value, flags)
    }
}

/// # Errors
/// As `removexattr(2)`.
pub fn remove(of: Of<'_>, key: &OsStr) -> Result<()> {
    let (path, follow) = of.path();
    if follow { rfs::removexattr(path.as_slice(), key) } else { rfs::lremovexattr(path.as_slice(), key) }
}

/// One call for what is small, a second with the largest buffer for what is not.
fn read_sized(mut read: impl FnMut(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut small = [0u8; 512];
    match read(&mut small) {
        Ok(len) => Ok(small[..len].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; SIZE_MAX];
            let len = read(&mut large)?;
            large.truncate(len);
            Ok(large)
        }
        Err(e) => Err(e),
    }
}
