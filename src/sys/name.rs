//! One component of a path, checked once.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::{Errno, Result};

/// The longest component on Linux file systems, in bytes.
const NAME_MAX: usize = 255;

/// One component of a path: not empty, not `.` or `..`, without `/` or NUL, at most 255 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(&'a OsStr);

impl<'a> Name<'a> {
    /// Checks `name`.
    ///
    /// # Errors
    /// `ENAMETOOLONG` over 255 bytes, else `EINVAL` when it is not one component.
    pub fn new(name: &'a (impl AsRef<OsStr> + ?Sized)) -> Result<Self> {
        let name = name.as_ref();
        let bytes = name.as_bytes();
        if bytes.len() > NAME_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let bad = matches!(bytes, b"" | b"." | b"..") || bytes.iter().any(|&b| b == b'/' || b == 0);
        if bad { Err(Errno::INVAL) } else { Ok(Name(name)) }
    }

    /// The name as a string.
    pub fn as_os_str(self) -> &'a OsStr {
        self.0
    }

    /// The name's bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0.as_bytes()
    }

    /// An owned copy.
    pub fn to_owned(self) -> NameBuf {
        NameBuf(self.0.into())
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An owned [`Name`]; clones share it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameBuf(Arc<OsStr>);

impl NameBuf {
    /// Checks `name`, as [`Name::new`] does.
    ///
    /// # Errors
    /// As [`Name::new`].
    pub fn new(name: impl Into<OsString>) -> Result<Self> {
        let name = name.into();
        Name::new(&name)?;
        Ok(NameBuf(name.into()))
    }

    /// The name, borrowed.
    pub fn as_name(&self) -> Name<'_> {
        Name(&self.0)
    }

    /// The name as a string.
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }
}

impl fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_component() {
        for good in ["a", "...", ".wh.x", "ä"] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "/", "a\0"] {
            assert_eq!(Name::new(bad), Err(Errno::INVAL), "{bad:?}");
        }
        assert!(Name::new(&"x".repeat(255)).is_ok());
        assert_eq!(Name::new(&"x".repeat(256)), Err(Errno::NAMETOOLONG));
    }
}
