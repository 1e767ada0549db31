//! All names of the files of a layer that have several: what a file system does not tell.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::sys::{Dir, Kind, Result};

use super::walk::{Walk, walk};

/// A layer of more entries than this is no image but somebody's disk: its names are found as they are looked up.
const ENTRIES_MAX: usize = 1_000_000;

/// The names, relative to the layer, of each file that has several, by inode number.
pub type Names = HashMap<u64, Vec<PathBuf>>;

/// Walks the layer in `root`; what this process may not look at is passed over.
///
/// # Errors
/// As `getdents64(2)` and `fstatat(2)`.
pub fn names_of_linked(root: &Dir) -> Result<Names> {
    let dev = root.stat_self()?.dev;
    let (mut names, mut seen) = (Names::new(), 0);
    walk(root, |dir, path, entries| {
        // Something else is mounted here.
        if dir.stat_self()?.dev != dev {
            return Ok(Walk::Past);
        }
        seen += entries.len();
        if seen > ENTRIES_MAX {
            names.clear();
            return Ok(Walk::End);
        }
        for entry in entries.iter().filter(|entry| entry.kind != Kind::Directory) {
            let stat = dir.stat(entry.name.as_name())?;
            if stat.nlink > 1 && stat.dev == dev && !stat.is_whiteout_device() {
                names.entry(stat.ino).or_default().push(path.join(entry.name.as_os_str()));
            }
        }
        Ok(Walk::Deeper)
    })?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_name_is_found_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/b/c")).unwrap();
        fs::write(at("a/one"), "x").unwrap();
        fs::write(at("alone"), "x").unwrap();
        fs::hard_link(at("a/one"), at("a/b/c/two")).unwrap();
        fs::hard_link(at("a/one"), at("three")).unwrap();
        let names = names_of_linked(&Dir::open_host(dir.path()).unwrap()).unwrap();
        let mut found: Vec<_> = names.into_values().flatten().collect();
        found.sort();
        assert_eq!(found, ["a/b/c/two", "a/one", "three"].map(PathBuf::from));
    }
}
