//! Finds all names of each file with several hard links in a layer. No system call returns them.
//!
//! A table of contents has the inode number and link count of every file, so that the names come from it and no
//! directory of the layer is opened. A layer without a table is walked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::sys::{Dir, Kind, NameBuf, Result};

use super::Toc;
use super::toc::Child;
use super::walk::{Walk, walk};

/// A layer with more entries than this is probably a whole disk and not an image layer. The walk then stops and finds
/// no names; they become known as they are looked up.
const ENTRIES_MAX: usize = 1_000_000;

/// The names of each file with several hard links in one layer.
#[derive(Debug, Default)]
pub struct LinkedNames {
    /// The directories that have such names, relative to the layer.
    dirs: Vec<PathBuf>,
    /// Inode number, directory and name, sorted.
    rows: Vec<(u64, u32, NameBuf)>,
}

impl LinkedNames {
    /// The names in the layer in `root`, from `toc` if it is given and can be read.
    ///
    /// # Errors
    /// As `getdents64(2)` and `fstatat(2)`.
    pub(super) fn of_layer(root: &Dir, toc: Option<&Arc<Toc>>) -> Result<LinkedNames> {
        match toc.and_then(LinkedNames::of_toc) {
            Some(names) => Ok(names),
            None => LinkedNames::walk(root),
        }
    }

    /// The names of the file with this inode, relative to the layer.
    pub fn of(&self, inode: u64) -> impl Iterator<Item = PathBuf> {
        let first = self.rows.partition_point(|row| row.0 < inode);
        let own = self.rows.iter().skip(first).take_while(move |row| row.0 == inode);
        own.filter_map(|(_, dir, name)| Some(self.dirs.get(*dir as usize)?.join(name.as_os_str())))
    }

    /// `None` where a directory of the table is damaged.
    fn of_toc(toc: &Arc<Toc>) -> Option<LinkedNames> {
        let mut names = LinkedNames::default();
        let mut todo = vec![(PathBuf::new(), toc.root()?)];
        while let Some((path, section)) = todo.pop() {
            let mut in_dir = Vec::new();
            let mut damaged = false;
            section.each_entry(|name, stat, child| match child {
                Child::None if stat.kind != Kind::Directory && stat.nlink > 1 => {
                    in_dir.push((stat.ino, name.to_owned()));
                }
                // The writer of the table had no permission to read this directory; this process has none either.
                Child::None | Child::Unknown => {}
                Child::Damaged => damaged = true,
                Child::Section(child) => todo.push((path.join(name.as_os_str()), child)),
            })?;
            if damaged {
                return None;
            }
            names.add(&path, in_dir);
        }
        Some(names.sorted())
    }

    /// Skips directories that this process may not read.
    fn walk(root: &Dir) -> Result<LinkedNames> {
        let dev = root.stat_self()?.dev;
        let (mut names, mut count) = (LinkedNames::default(), 0);
        walk(root, |dir, path, entries| {
            // Another file system is mounted here.
            if dir.stat_self()?.dev != dev {
                return Ok(Walk::Past);
            }
            count += entries.len();
            if count > ENTRIES_MAX {
                names = LinkedNames::default();
                return Ok(Walk::End);
            }
            let mut in_dir = Vec::new();
            for entry in entries.iter().filter(|entry| entry.kind != Kind::Directory) {
                let stat = dir.stat(entry.name.as_name())?;
                if stat.nlink > 1 && stat.dev == dev && !stat.is_whiteout_device() {
                    in_dir.push((stat.ino, entry.name.clone()));
                }
            }
            names.add(path, in_dir);
            Ok(Walk::Deeper)
        })?;
        Ok(names.sorted())
    }

    fn add(&mut self, path: &Path, in_dir: Vec<(u64, NameBuf)>) {
        if in_dir.is_empty() {
            return;
        }
        // There are fewer directories than entries.
        let dir = self.dirs.len() as u32;
        self.dirs.push(path.into());
        self.rows.extend(in_dir.into_iter().map(|(inode, name)| (inode, dir, name)));
    }

    fn sorted(mut self) -> LinkedNames {
        self.rows.sort_unstable_by_key(|row| (row.0, row.1));
        self.rows.shrink_to_fit();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::toc::Viewer;
    use crate::layer::{Namespace, Owners, Policy};
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    /// A layer, and the inode number of its one file with several names.
    fn layer() -> (tempfile::TempDir, u64) {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("a/b/c")).unwrap();
        fs::write(at("a/one"), "x").unwrap();
        fs::write(at("alone"), "x").unwrap();
        fs::hard_link(at("a/one"), at("a/b/c/two")).unwrap();
        fs::hard_link(at("a/one"), at("three")).unwrap();
        let inode = fs::metadata(at("three")).unwrap().ino();
        (dir, inode)
    }

    fn check(names: &LinkedNames, inode: u64) {
        let mut found: Vec<_> = names.of(inode).collect();
        found.sort();
        assert_eq!(found, ["a/b/c/two", "a/one", "three"].map(PathBuf::from));
        assert_eq!(names.of(inode + 1).count() + names.of(inode - 1).count(), 0);
    }

    #[test]
    fn every_name_is_found_wherever_it_is() {
        let (dir, inode) = layer();
        check(&LinkedNames::of_layer(&Dir::open_host(dir.path()).unwrap(), None).unwrap(), inode);
    }

    #[test]
    fn names_are_read_from_a_table_without_the_layer() {
        let (dir, inode) = layer();
        let root = Dir::open_host(dir.path()).unwrap();
        let policy = Policy { marks: Namespace::of_this_process(), owners: Owners::Real };
        let toc = Arc::new(Toc::of(&root, &Viewer::new(policy).unwrap()).unwrap());
        // Now only the table can answer.
        for entry in root.entries().unwrap() {
            root.remove_all(entry.name.as_name()).unwrap();
        }
        check(&LinkedNames::of_layer(&root, Some(&toc)).unwrap(), inode);
        assert_eq!(LinkedNames::of_layer(&root, None).unwrap().of(inode).count(), 0);
    }
}
