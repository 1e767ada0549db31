//! Refuses layers that lie inside one another.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::sys::{Dir, Errno, Result};

use super::OpenError;

/// What identifies a directory: device and inode number.
type Id = (u64, u64);

/// Refuses a lower directory that lies in another layer, because a change in one layer would show in the other. The
/// kernel refuses the same with `ELOOP`.
///
/// As in the kernel, an upper directory may lie in a lower one, so that `lowerdir=/` works with any upper directory.
/// Unlike the kernel, the same directory may be several layers, because images can contain a layer twice.
///
/// # Errors
/// `Nested`, with both paths; `Open` for a directory that cannot be opened.
pub(super) fn check_nesting(lower: &[PathBuf], upper: Option<(&Path, &Path)>) -> Result<(), OpenError> {
    let id = |what, path: &Path| id_of(path).map_err(failed(what, path));
    let mut layers: HashMap<Id, &Path> = HashMap::new();
    for path in lower {
        layers.insert(id("lower directory", path)?, path);
    }
    let mut changing: HashMap<Id, &Path> = HashMap::new();
    if let Some((upper, work)) = upper {
        changing.insert(id("upper directory", upper)?, upper);
        changing.insert(id("work directory", work)?, work);
    }
    for path in lower {
        let chain = ancestors(path).map_err(failed("lower directory", path))?;
        let outer = chain.iter().find_map(|id| changing.get(id));
        if let Some(&outer) = outer.or_else(|| chain.iter().skip(1).find_map(|id| layers.get(id))) {
            return Err(OpenError::Nested { inner: path.clone(), outer: outer.into() });
        }
    }
    Ok(())
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(Errno) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Open { what, path, source }
}

fn id_of(path: &Path) -> Result<Id> {
    let stat = Dir::open_host(path)?.stat_self()?;
    Ok((stat.dev, stat.ino))
}

/// The directory and its ancestors on the same file system.
fn ancestors(path: &Path) -> Result<Vec<Id>> {
    let mut chain = vec![id_of(path)?];
    let mut path = path.to_owned();
    loop {
        path.push("..");
        let parent = match id_of(&path) {
            // A directory that this user may not search cannot be a layer that they passed.
            Err(Errno::ACCESS) => return Ok(chain),
            other => other?,
        };
        match chain.last() {
            Some(child) if *child == parent || child.0 != parent.0 => return Ok(chain),
            _ => chain.push(parent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_lower_directory_lies_in_no_other_layer() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["a/sub/deep", "b", "ab", "work"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        std::os::unix::fs::symlink("a/sub", at("link")).unwrap();
        let upper_of = |upper: &str| Some((at(upper), at("work")));
        for (lower, upper, fine) in [
            (&["a", "b", "ab"][..], None, true),
            (&["a", "b", "a"], None, true),
            (&["a", "b"], upper_of("ab"), true),
            (&["a", "b"], upper_of("a/sub"), true),
            (&["a", "a/sub"], None, false),
            (&["a/sub/deep", "b", "a"], None, false),
            (&["a", "link"], None, false),
            (&["a/sub"], upper_of("a"), false),
            (&["b", "a"], upper_of("a"), false),
            (&["work"], upper_of("b"), false),
        ] {
            let paths: Vec<PathBuf> = lower.iter().map(|name| at(name)).collect();
            let upper_paths = upper.as_ref().map(|(upper, work)| (upper.as_path(), work.as_path()));
            let checked = check_nesting(&paths, upper_paths);
            assert_eq!(checked.is_ok(), fine, "{lower:?} {upper:?}: {checked:?}");
            assert!(fine || matches!(checked, Err(OpenError::Nested { .. })), "{lower:?}: {checked:?}");
        }
    }
}
