//! Which directory files are copied into, and how they are called there: docker's rules. Pure.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::place::{FileKind, Found, Place};
use super::{CopyError, at};
use crate::sys::{Dir, Root};

/// Where the files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Goal {
    /// An existing directory.
    pub(super) into: PathBuf,
    /// The name in it; empty for a directory whose content alone is copied.
    pub(super) called: PathBuf,
}

impl Goal {
    /// Opens the directory.
    pub(super) fn open(&self, root: &Root, target: &Path) -> Result<Dir, CopyError> {
        root.open_dir(&self.into).map_err(at(target))
    }
}

/// Whether the path can only mean a directory: it ends in `/` or `/.`, or is `.`.
pub(super) fn asserts_directory(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.ends_with(b"/") || means_content(path)
}

/// Whether the content of the directory is meant, and not the directory: the path ends in `/.`, or is `.`.
fn means_content(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes == b"." || bytes.ends_with(b"/.")
}

/// # Errors
/// Nothing is there, or nothing that can be copied.
pub(super) fn check_source(path: &Path, found: &Found) -> Result<(), CopyError> {
    if found.kind.is_none() {
        return Err(at(path)(crate::sys::Errno::NOENT));
    }
    // A link of /proc has a text, which can be copied, but says nothing outside.
    if found.of_kernel { Err(CopyError::Kernel(path.to_owned())) } else { Ok(()) }
}

/// The name of the source in an archive on standard output.
pub(super) fn name_in_stream(path: &Path, found: &Found) -> PathBuf {
    if found.kind == Some(FileKind::Directory) && means_content(path) { PathBuf::new() } else { base(path, found) }
}

/// The last name of the path; of what it leads to where it has none. Empty for the root.
fn base(path: &Path, found: &Found) -> PathBuf {
    match (path.components().next_back(), &found.place) {
        (Some(Component::Normal(name)), _) => name.into(),
        (_, Place::Named { name, .. }) => name.clone(),
        (_, Place::Directory(_)) => PathBuf::new(),
    }
}

/// Where the source `found`, which `from` names, is copied to: `target`, which `to` names.
///
/// # Errors
/// The rules do not allow it.
pub(super) fn goal(from: &Path, found: &Found, to: &Path, target: &Found) -> Result<Goal, CopyError> {
    let is_dir = found.kind == Some(FileKind::Directory);
    if target.of_kernel {
        return Err(CopyError::Kernel(to.to_owned()));
    }
    match (&target.place, target.kind) {
        (_, Some(FileKind::Directory)) => {
            let content = is_dir && means_content(from);
            let called = if content { PathBuf::new() } else { base(from, found) };
            Ok(Goal { into: target.place.path(), called })
        }
        (_, Some(_)) if is_dir => Err(CopyError::OverFile(to.to_owned())),
        (_, None) if !is_dir && asserts_directory(to) => Err(CopyError::NoDirectory(to.to_owned())),
        (Place::Named { parent, name }, _) => Ok(Goal { into: parent.clone(), called: name.clone() }),
        (Place::Directory(_), _) => Err(CopyError::NoDirectory(to.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, kind: Option<FileKind>) -> Found {
        let path = Path::new(path);
        let place = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Place::Named { parent: parent.into(), name: name.into() },
            _ => Place::Directory(path.into()),
        };
        Found { place, kind, of_kernel: false }
    }

    #[test]
    fn the_rules_are_dockers() {
        let (dir, file, none) = (Some(FileKind::Directory), Some(FileKind::Other), None);
        for (from, source, to, target, expected) in [
            ("/s/f", file, "/d/new", none, Ok(("/d", "new"))),
            ("/s/f", file, "/d/new/", none, Err("/d/new/: the directory does not exist")),
            ("/s/f", file, "/d/old", file, Ok(("/d", "old"))),
            ("/s/f", file, "/d/dir", dir, Ok(("/d/dir", "f"))),
            ("/s/f", file, "/d/dir/", dir, Ok(("/d/dir", "f"))),
            ("/s/d", dir, "/d/new", none, Ok(("/d", "new"))),
            ("/s/d", dir, "/d/new/", none, Ok(("/d", "new"))),
            ("/s/d/.", dir, "/d/new", none, Ok(("/d", "new"))),
            ("/s/d", dir, "/d/old", file, Err("/d/old: a directory cannot replace a file")),
            ("/s/d", dir, "/d/dir", dir, Ok(("/d/dir", "d"))),
            ("/s/d/", dir, "/d/dir", dir, Ok(("/d/dir", "d"))),
            ("/s/d/.", dir, "/d/dir", dir, Ok(("/d/dir", ""))),
            ("/", dir, "/d/dir", dir, Ok(("/d/dir", ""))),
            ("/s/d", dir, "/", dir, Ok(("/", "d"))),
            ("/s/l", Some(FileKind::Symlink), "/d/dir", dir, Ok(("/d/dir", "l"))),
        ] {
            let got = goal(Path::new(from), &found(from, source), Path::new(to), &found(to, target));
            let expected = expected.map(|(into, called)| Goal { into: into.into(), called: called.into() });
            assert_eq!(got.map_err(|e| e.to_string()), expected.map_err(String::from), "{from} {to} {target:?}");
        }
    }

    #[test]
    fn a_stream_has_the_name_of_its_source() {
        for (path, expected) in [("/a/d", "d"), ("/a/d/", "d"), ("/a/d/.", ""), ("/", "")] {
            let name = name_in_stream(Path::new(path), &found(path, Some(FileKind::Directory)));
            assert_eq!(name, Path::new(expected), "{path}");
        }
    }
}
