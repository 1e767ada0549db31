//! Splits the names of entries into path components that cannot leave the layer.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Error;
use crate::sys::NameBuf;

/// The longest path of an entry, in bytes: four times the kernel's limit for one call. It bounds the depth of a tree,
/// and so the memory for the paths on the way to an entry.
pub(super) const PATH_MAX: usize = 16 << 10;

/// The prefix of whiteout names; the name that is hidden follows.
pub(super) const WHITEOUT: &str = ".wh.";
/// The whiteout that hides everything below its directory.
pub(super) const OPAQUE: &str = ".wh..wh..opq";
/// The prefix of aufs's own files. Of these names only `OPAQUE` has a meaning in other formats.
const PRIVATE: &str = ".wh..wh.";

/// The meaning of the last component of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leaf {
    /// The root of the layer itself.
    Root,
    Entry(NameBuf),
    Whiteout(NameBuf),
    Opaque,
    /// Bookkeeping of aufs: nothing to unpack.
    Private,
}

/// The components of a name, without `.`; empty for the root. As in Docker, an absolute name is relative to the root of
/// the layer.
///
/// # Errors
/// `Escape` for `..`, `Name` for a component that cannot be a file name.
pub(super) fn steps(path: &Path) -> Result<Vec<NameBuf>, Error> {
    components(path)?.into_iter().map(|component| name(component, path)).collect()
}

/// The components of the parent, and the meaning of the last component.
///
/// # Errors
/// As [`steps`]; `Whiteout` for a whiteout of nothing, or one that has something below it.
pub(super) fn split(path: &Path) -> Result<(Vec<NameBuf>, Leaf), Error> {
    let mut parent = components(path)?;
    let Some(last) = parent.pop() else { return Ok((Vec::new(), Leaf::Root)) };
    let begins = |component: &&[u8], prefix: &str| component.starts_with(prefix.as_bytes());
    if parent.iter().any(|component| begins(component, PRIVATE)) {
        return Ok((Vec::new(), Leaf::Private));
    }
    let not_whiteout = || Error::Whiteout { path: path.into() };
    if parent.iter().any(|component| begins(component, WHITEOUT)) {
        return Err(not_whiteout());
    }
    let leaf = match last.strip_prefix(WHITEOUT.as_bytes()) {
        None => Leaf::Entry(name(last, path)?),
        Some(_) if last == OPAQUE.as_bytes() => Leaf::Opaque,
        Some(_) if begins(&last, PRIVATE) => Leaf::Private,
        // Only the hidden name must be a valid file name: with the prefix it may be too long for one.
        Some(hidden) => Leaf::Whiteout(NameBuf::new(OsStr::from_bytes(hidden)).map_err(|_| not_whiteout())?),
    };
    let parent = parent.into_iter().map(|component| name(component, path)).collect::<Result<_, _>>()?;
    Ok((parent, leaf))
}

fn components(path: &Path) -> Result<Vec<&[u8]>, Error> {
    let all = path.as_os_str().as_bytes().split(|&b| b == b'/');
    let components: Vec<_> = all.filter(|component| !matches!(*component, b"" | b".")).collect();
    if components.contains(&&b".."[..]) { Err(Error::Escape { path: path.into() }) } else { Ok(components) }
}

fn name(component: &[u8], path: &Path) -> Result<NameBuf, Error> {
    NameBuf::new(OsStr::from_bytes(component)).map_err(|_| Error::Name { path: path.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NameBuf {
        NameBuf::new(text).expect("a name")
    }

    #[test]
    fn names_become_steps_below_the_root() {
        for (path, expected) in [
            ("a/b", vec!["a", "b"]),
            ("./a//b/", vec!["a", "b"]),
            ("/a/./b", vec!["a", "b"]),
            ("./", vec![]),
            ("/", vec![]),
            ("...", vec!["..."]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(name).collect();
            assert_eq!(steps(Path::new(path)).expect(path), expected, "{path}");
        }
        for bad in ["..", "a/..", "/../a", "a\0b", &"x".repeat(256)] {
            assert!(steps(Path::new(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_last_step_may_be_a_whiteout() {
        let long = "n".repeat(255);
        for (path, expected) in [
            ("a/b", Leaf::Entry(name("b"))),
            ("", Leaf::Root),
            ("a/.wh.b", Leaf::Whiteout(name("b"))),
            ("a/.wh..b", Leaf::Whiteout(name(".b"))),
            ("a/.wh..wh..opq", Leaf::Opaque),
            (".wh..wh.plnk", Leaf::Private),
            (".wh..wh.plnk/12.34", Leaf::Private),
            ("a/.whb", Leaf::Entry(name(".whb"))),
            (&format!(".wh.{long}"), Leaf::Whiteout(name(&long))),
        ] {
            assert_eq!(split(Path::new(path)).expect(path).1, expected, "{path}");
        }
        for bad in [".wh.", ".wh..", ".wh...", ".wh.a/b"] {
            assert!(split(Path::new(bad)).is_err(), "{bad:?}");
        }
    }
}
