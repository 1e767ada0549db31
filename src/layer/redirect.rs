//! Redirects: the other name or path under which the layers below have a directory or the data of a metadata-only file.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::sys::{Errno, Name, NameBuf, Result};

/// The content of a redirect mark, in the kernel's format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// Another name in the same directory.
    Sibling(NameBuf),
    /// A path from the root of the layers below, beginning with `/`.
    Path(PathBuf),
}

impl Redirect {
    /// Reads the mark's value.
    ///
    /// # Errors
    /// `EINVAL` unless it is one name or an absolute path without `.` and `..`. So no redirect leads out of a layer.
    pub fn parse(value: &[u8]) -> Result<Redirect> {
        let text = OsStr::from_bytes(value);
        let Some(relative) = value.strip_prefix(b"/") else {
            return NameBuf::new(text).map(Redirect::Sibling).map_err(|_| Errno::INVAL);
        };
        for step in relative.split(|&b| b == b'/') {
            Name::new(OsStr::from_bytes(step)).map_err(|_| Errno::INVAL)?;
        }
        Ok(Redirect::Path(text.into()))
    }

    /// The mark's value.
    pub fn value(&self) -> &[u8] {
        match self {
            Redirect::Sibling(name) => name.as_os_str().as_bytes(),
            Redirect::Path(path) => path.as_os_str().as_bytes(),
        }
    }

    /// The path in the layers below of an entry that has this redirect and is at `path` in its own layer.
    pub fn from(&self, path: &Path) -> PathBuf {
        match self {
            Redirect::Sibling(name) => path.with_file_name(name.as_os_str()),
            Redirect::Path(path) => path.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_absolute_paths_lead_somewhere() {
        for (value, from, to) in [
            ("a", "/x/y", "/x/a"),
            ("a", "/y", "/a"),
            ("/a", "/x/y", "/a"),
            ("/a/b c/d", "/x", "/a/b c/d"),
            ("..a", "/x/y", "/x/..a"),
        ] {
            let redirect = Redirect::parse(value.as_bytes()).unwrap();
            assert_eq!(redirect.value(), value.as_bytes());
            assert_eq!(redirect.from(Path::new(from)), Path::new(to), "{value}");
        }
    }

    #[test]
    fn what_could_lead_out_of_a_layer_is_refused() {
        for value in ["", "/", "a/b", "..", ".", "/..", "/a/../b", "/a/./b", "//a", "/a/", "/a//b", "/a\0b"] {
            assert_eq!(Redirect::parse(value.as_bytes()), Err(Errno::INVAL), "{value:?}");
        }
    }
}
