//! Removes whole trees of any depth.

use std::cell::Cell;

use super::{Dir, DirEntry, Errno, Kind, Name, NameBuf, Rename, Result};

impl Dir {
    /// Removes `name` and everything below it, without following links. A missing name is no error.
    ///
    /// Directories two levels down are moved up first, so neither the stack nor the number of open descriptors grows
    /// with the depth of the tree.
    ///
    /// # Errors
    /// The first error of the walk.
    pub fn remove_all(&self, name: Name<'_>) -> Result<()> {
        match self.remove_file(name) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(e) => return Err(e),
        }
        let top = Doomed::open(self, name)?;
        let mut serial = 0;
        loop {
            let entries = top.entries()?;
            if entries.is_empty() {
                return self.remove_dir(name);
            }
            for entry in entries {
                if top.remove(&entry)? {
                    continue;
                }
                let below = Doomed::open(&top.dir, entry.name.as_name())?;
                for deep in below.entries()? {
                    if !below.remove(&deep)? {
                        below.move_up(deep.name.as_name(), &top, &mut serial)?;
                    }
                }
                // Removing an open directory is slower.
                drop(below);
                top.dir.remove_dir(entry.name.as_name())?;
            }
        }
    }
}

/// A directory that is being emptied.
struct Doomed<'a> {
    dir: Dir,
    /// The parent directory, and the name in it.
    place: (&'a Dir, Name<'a>),
    /// The mode has been changed so that its owner may enter it.
    unlocked: Cell<bool>,
}

impl<'a> Doomed<'a> {
    fn open(parent: &'a Dir, name: Name<'a>) -> Result<Doomed<'a>> {
        let dir = parent.open_dir(name.as_os_str())?;
        Ok(Doomed { dir, place: (parent, name), unlocked: Cell::new(false) })
    }

    fn entries(&self) -> Result<Vec<DirEntry>> {
        self.try_twice(|dir| dir.entries())
    }

    /// Removes an entry; returns `false` for a directory that is not empty.
    fn remove(&self, entry: &DirEntry) -> Result<bool> {
        let name = entry.name.as_name();
        let removed = self.try_twice(|dir| match entry.kind {
            Kind::Directory => dir.remove_dir(name),
            _ => dir.remove_file(name),
        });
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Moves a subdirectory of this directory to `top`, under a free name.
    fn move_up(&self, name: Name<'_>, top: &Doomed<'_>, serial: &mut u64) -> Result<()> {
        loop {
            let free = NameBuf::new(format!("{serial:x}"))?;
            *serial += 1;
            let moved = self.try_twice(|dir| dir.rename(name, &top.dir, free.as_name(), Rename::NoReplace));
            match moved {
                Err(Errno::EXIST) => {}
                // Moving a directory changes its `..` entry, so it must be writable.
                Err(Errno::ACCESS) => {
                    self.dir.set_perm(name, 0o700)?;
                    return self.dir.rename(name, &top.dir, free.as_name(), Rename::NoReplace);
                }
                other => return other,
            }
        }
    }

    /// Tries again with mode 0700 after `EACCES`: without `CAP_DAC_OVERRIDE`, a mode can lock out even the owner.
    fn try_twice<T>(&self, act: impl Fn(&Dir) -> Result<T>) -> Result<T> {
        match act(&self.dir) {
            Err(Errno::ACCESS) if !self.unlocked.replace(true) => {
                let (parent, name) = self.place;
                parent.set_perm(name, 0o700)?;
                act(&self.dir)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn name(text: &str) -> Name<'_> {
        Name::new(text).unwrap()
    }

    #[test]
    fn a_tree_of_any_depth_is_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let root = Dir::open_host(scratch.path()).unwrap();
        root.make_dir(name("top"), 0o755).unwrap();
        let mut dir = root.open_dir("top").unwrap();
        for _ in 0..2000 {
            dir.make_dir(name("0"), 0o755).unwrap();
            dir.make_node(name("f"), Kind::Regular, 0o644, 0).unwrap();
            dir = dir.open_dir("0").unwrap();
        }
        root.remove_all(name("top")).unwrap();
        assert_eq!(root.entries().unwrap(), []);
    }

    #[test]
    fn targets_of_links_and_siblings_stay() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| scratch.path().join(path);
        for dir in ["top/a/b/c", "top/a/1", "top/0/0/0", "top/1/0", "kept"] {
            fs::create_dir_all(at(dir)).unwrap();
            fs::write(at(dir).join("file"), "x").unwrap();
        }
        std::os::unix::fs::symlink("../../kept", at("top/a/link")).unwrap();
        let root = Dir::open_host(scratch.path()).unwrap();
        root.remove_all(name("top")).unwrap();
        root.remove_all(name("top")).unwrap();
        assert!(!at("top").exists());
        assert_eq!(fs::read(at("kept/file")).unwrap(), b"x");
    }
}
