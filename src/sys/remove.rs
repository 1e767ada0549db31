//! Removal of whole trees, however deep somebody made them.

use std::cell::Cell;

use super::{Dir, DirEntry, Errno, Kind, Name, NameBuf, Rename, Result};

impl Dir {
    /// Removes `name` and all below it, without following links; a name that is gone is no error.
    ///
    /// What lies deep is moved up before it is removed, so that neither the stack nor the number of open descriptors
    /// grows with the depth of the tree.
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
                // A directory that is still open is slower to remove.
                drop(below);
                top.dir.remove_dir(entry.name.as_name())?;
            }
        }
    }
}

/// A directory that is being emptied.
struct Doomed<'a> {
    dir: Dir,
    /// Where it is.
    place: (&'a Dir, Name<'a>),
    /// Its mode has been changed to let its owner in.
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

    /// Removes an entry, unless it is a directory that holds something.
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

    /// Moves a directory of this one to `top`, under a name that is free there.
    fn move_up(&self, name: Name<'_>, top: &Doomed<'_>, serial: &mut u64) -> Result<()> {
        loop {
            let free = NameBuf::new(format!("{serial:x}"))?;
            *serial += 1;
            let moved = self.try_twice(|dir| dir.rename(name, &top.dir, free.as_name(), Rename::NoReplace));
            match moved {
                Err(Errno::EXIST) => {}
                // To move a directory is to change it.
                Err(Errno::ACCESS) => {
                    self.dir.set_perm(name, 0o700)?;
                    return self.dir.rename(name, &top.dir, free.as_name(), Rename::NoReplace);
                }
                other => return other,
            }
        }
    }

    /// Without the capability to override it, a mode can lock the owner out.
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
    fn what_links_lead_to_and_what_stands_beside_stays() {
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
