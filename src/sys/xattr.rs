//! Extended attributes of a name in a directory, or of an open file.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self as rfs, XattrFlags};

use super::count::{Call, account};
use super::path_fd::proc_path;
use super::process::last_error;
use super::{Dir, Errno, Name, Result};

/// The largest value, and the largest list of names, on Linux, in bytes.
const SIZE_MAX: usize = 64 << 10;

/// The file whose attributes are meant. `Fd` may be an `O_PATH` descriptor, also of a symbolic link.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    /// The entry of that name in the directory.
    Name(&'a Dir, Name<'a>),
    /// The directory itself; cheaper than the same directory as `Fd`.
    Dir(&'a Dir),
    /// An open file or directory.
    Fd(BorrowedFd<'a>),
}

/// Whether `set` requires the attribute to be missing (`Create`) or to exist (`Replace`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Whether it exists or not.
    Any,
    /// Fails with `EEXIST` when it exists.
    Create,
    /// Fails with `ENODATA` when it does not exist.
    Replace,
}

impl<'a> Of<'a> {
    /// Of an open file.
    pub fn fd(fd: &'a impl AsFd) -> Of<'a> {
        Of::Fd(fd.as_fd())
    }

    /// The descriptor and path for calls that take both. `None` for an `O_PATH` descriptor of a file: these calls need
    /// a path.
    fn step(self) -> Option<(BorrowedFd<'a>, CString)> {
        match self {
            Of::Name(dir, name) => Some((dir.as_fd(), CString::new(name.as_bytes()).ok()?)),
            Of::Dir(dir) => Some((dir.as_fd(), c".".to_owned())),
            Of::Fd(_) => None,
        }
    }

    /// A path for calls without a descriptor, and whether to follow a link at its end (only the one in /proc).
    fn path(self) -> (Vec<u8>, bool) {
        match self {
            Of::Name(dir, name) => (dir.xattr_path(name), false),
            Of::Dir(dir) => (proc_path(dir.as_fd()).into_bytes(), true),
            Of::Fd(fd) => (proc_path(fd).into_bytes(), true),
        }
    }
}

/// The value of `key`, or `None` when the file has no such attribute or the file system does not support its namespace.
///
/// # Errors
/// As `getxattr(2)`, except `ENODATA` and `EOPNOTSUPP`.
pub fn get(of: Of<'_>, key: &OsStr) -> Result<Option<Vec<u8>>> {
    match get_strict(of, key) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The value of `key`; a missing attribute is an error.
///
/// # Errors
/// As `getxattr(2)`.
pub fn get_strict(of: Of<'_>, key: &OsStr) -> Result<Vec<u8>> {
    if at::exist()
        && let Some((fd, path)) = of.step()
    {
        let key = CString::new(key.as_bytes()).map_err(|_| Errno::INVAL)?;
        return read_sized(|buffer| at::get(fd, &path, &key, buffer));
    }
    let (path, follow) = of.path();
    read_sized(|buffer| {
        account(Call::Getxattr)?;
        if follow { rfs::getxattr(path.as_slice(), key, buffer) } else { rfs::lgetxattr(path.as_slice(), key, buffer) }
    })
}

/// The names of all attributes; an empty list where the file system has no attributes.
///
/// # Errors
/// As `listxattr(2)`, except `EOPNOTSUPP`.
pub fn list(of: Of<'_>) -> Result<Vec<OsString>> {
    let raw = match of.step().filter(|_| at::exist()) {
        Some((fd, path)) => read_sized(|buffer| at::list(fd, &path, buffer)),
        None => {
            let (path, follow) = of.path();
            read_sized(|buffer| {
                account(Call::Listxattr)?;
                if follow { rfs::listxattr(path.as_slice(), buffer) } else { rfs::llistxattr(path.as_slice(), buffer) }
            })
        }
    };
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
    account(Call::Setxattr)?;
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
    account(Call::Removexattr)?;
    if follow { rfs::removexattr(path.as_slice(), key) } else { rfs::lremovexattr(path.as_slice(), key) }
}

/// Reads into a small buffer, and again into the largest one when the value does not fit.
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

/// The calls of Linux 6.13 that take a descriptor and a path. They avoid resolving a path in `/proc`, which costs three
/// times as much as reading the attribute.
mod at {
    use super::*;

    /// The numbers are the same on every architecture; `libc` does not define them yet.
    const GETXATTRAT: libc::c_long = 464;
    const LISTXATTRAT: libc::c_long = 465;

    /// The kernel's `struct xattr_args`.
    #[repr(C)]
    struct Args {
        value: u64,
        size: u32,
        flags: u32,
    }

    /// Cleared when the kernel does not know the calls, or a seccomp filter forbids them.
    static EXIST: AtomicBool = AtomicBool::new(true);

    pub(super) fn exist() -> bool {
        EXIST.load(Ordering::Relaxed) && {
            static PROBED: std::sync::Once = std::sync::Once::new();
            PROBED.call_once(|| {
                // A size of 0 asks only for the length of the list. An old seccomp filter returns EPERM.
                if matches!(list(rfs::CWD, c"/", &mut []), Err(Errno::NOSYS | Errno::PERM)) {
                    EXIST.store(false, Ordering::Relaxed);
                }
            });
            EXIST.load(Ordering::Relaxed)
        }
    }

    pub(super) fn get(dir: BorrowedFd<'_>, path: &CStr, key: &CStr, buffer: &mut [u8]) -> Result<usize> {
        let size = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let mut args = Args { value: buffer.as_mut_ptr().expose_provenance() as u64, size, flags: 0 };
        account(Call::Getxattr)?;
        // SAFETY: the strings are NUL-terminated, `args` points to a buffer of the given size, and all outlive the
        // call.
        let got = unsafe {
            libc::syscall(
                GETXATTRAT,
                dir.as_raw_fd(),
                path.as_ptr(),
                libc::AT_SYMLINK_NOFOLLOW,
                key.as_ptr(),
                &raw mut args,
                size_of::<Args>(),
            )
        };
        usize::try_from(got).map_err(|_| last_error())
    }

    pub(super) fn list(dir: BorrowedFd<'_>, path: &CStr, buffer: &mut [u8]) -> Result<usize> {
        account(Call::Listxattr)?;
        // SAFETY: the path is NUL-terminated, the buffer has the given size, and both outlive the call.
        let got = unsafe {
            libc::syscall(
                LISTXATTRAT,
                dir.as_raw_fd(),
                path.as_ptr(),
                libc::AT_SYMLINK_NOFOLLOW,
                buffer.as_mut_ptr(),
                buffer.len(),
            )
        };
        usize::try_from(got).map_err(|_| last_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_a_file_reaches_its_attributes() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("a"), "").unwrap();
        std::os::unix::fs::symlink("a", scratch.path().join("link")).unwrap();
        let dir = Dir::open_host(scratch.path()).unwrap();
        let (a, key) = (Name::new("a").unwrap(), OsStr::new("user.k"));
        let large = vec![7; 2000];
        set(Of::Name(&dir, a), key, &large, Set::Create).unwrap();
        set(Of::Dir(&dir), key, b"dir", Set::Any).unwrap();
        let by_fd = dir.open_path("a").unwrap();
        for of in [Of::Name(&dir, a), Of::fd(&by_fd)] {
            assert_eq!(get(of, key).unwrap().as_deref(), Some(large.as_slice()));
            assert_eq!(list(of).unwrap(), [key]);
        }
        for of in [Of::Dir(&dir), Of::fd(&dir)] {
            assert_eq!(get(of, key).unwrap().as_deref(), Some(b"dir".as_slice()));
            assert_eq!(list(of).unwrap(), [key]);
        }
        let link = Of::Name(&dir, Name::new("link").unwrap());
        assert_eq!((get(link, key).unwrap(), list(link).unwrap()), (None, vec![]), "a link is itself");
        assert_eq!(get_strict(Of::Name(&dir, Name::new("b").unwrap()), key).unwrap_err(), Errno::NOENT);
        remove(Of::Dir(&dir), key).unwrap();
        assert_eq!(get(Of::Dir(&dir), key).unwrap(), None);
    }
}
