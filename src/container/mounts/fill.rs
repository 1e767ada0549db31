//! Copies a directory of the image, as the first content of a volume.
//!
//! The image may be hostile. Nothing but regular files is opened, no symbolic link is followed, and no step leaves the
//! two directories. Memory does not grow with the depth of the tree, except for its longest path.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::sys::{Dir, Errno, Kind, Name, NameBuf, OFlags, copy};

type Result<T> = std::result::Result<T, Errno>;

/// Hard links are kept for files whose path is at most this long, in bytes; others become files of their own.
const LINKED_PATH_MAX: usize = 4096;

/// Makes `to`, an empty directory, like `from`, with owners, modes, times and extended attributes.
///
/// Left out are devices and sockets, which would not work in a volume, and whatever is mounted below `from`.
///
/// # Errors
/// The first error.
pub(super) fn copy_tree(from: &Dir, to: &Dir) -> Result<()> {
    let device = from.stat_self()?.dev;
    let mut copy = Copy { from, to, device, path: PathBuf::new(), linked: HashMap::new() };
    // For each directory from the top to the current one, the subdirectories that are still to be copied.
    let mut todo = vec![copy.directory()?];
    while let Some(rest) = todo.last_mut() {
        match rest.pop() {
            Some(name) => {
                copy.path.push(name.as_os_str());
                todo.push(copy.directory()?);
            }
            None => {
                // A directory gets its mode and times when everything below it is done.
                copy.finish_directory()?;
                copy.path.pop();
                todo.pop();
            }
        }
    }
    Ok(())
}

struct Copy<'a> {
    from: &'a Dir,
    to: &'a Dir,
    /// The device number of `from`.
    device: u64,
    /// The current directory.
    path: PathBuf,
    /// Where a file with several names was copied to, by inode number.
    linked: HashMap<u64, PathBuf>,
}

impl Copy<'_> {
    fn open(&self) -> Result<(Dir, Dir)> {
        let path = if self.path.as_os_str().is_empty() { Path::new(".") } else { &self.path };
        Ok((self.from.open_dir(path)?, self.to.open_dir(path)?))
    }

    /// Copies the files of the current directory and makes its subdirectories, whose names it returns.
    fn directory(&mut self) -> Result<Vec<NameBuf>> {
        let (from, to) = self.open()?;
        let mut below = Vec::new();
        for entry in from.entries()? {
            let name = entry.name.as_name();
            let stat = from.stat(name)?;
            match stat.kind {
                _ if stat.dev != self.device => {}
                Kind::Directory => {
                    to.make_dir(name, 0o700)?;
                    below.push(entry.name);
                }
                Kind::CharDevice | Kind::BlockDevice | Kind::Socket => {}
                Kind::Regular | Kind::Symlink | Kind::Fifo if stat.nlink > 1 => match self.linked.get(&stat.ino) {
                    Some(first) => to.link_fd(self.to.open_path(first)?, name)?,
                    None => {
                        file(&from, &to, name)?;
                        let path = self.path.join(name.as_os_str());
                        if path.as_os_str().len() <= LINKED_PATH_MAX {
                            self.linked.insert(stat.ino, path);
                        }
                    }
                },
                Kind::Regular | Kind::Symlink | Kind::Fifo => file(&from, &to, name)?,
            }
        }
        Ok(below)
    }

    fn finish_directory(&self) -> Result<()> {
        let (from, to) = self.open()?;
        copy::attributes(&from.to_path_fd()?, &to.to_path_fd()?)
    }
}

/// Copies one file. Its kind is that of the descriptor which is then read, whatever the listing said.
fn file(from: &Dir, to: &Dir, name: Name<'_>) -> Result<()> {
    let source = from.open_path(name.as_os_str())?;
    let stat = source.stat()?;
    match stat.kind {
        Kind::Regular => {
            let content = source.open_quietly(OFlags::RDONLY)?;
            let made = to.open_file(name.as_os_str(), OFlags::CREATE | OFlags::EXCL | OFlags::RDWR, 0o600)?;
            copy::contents(&content, &made, stat.size)?;
        }
        Kind::Symlink => to.make_symlink(name, &source.read_link()?)?,
        Kind::Fifo => to.make_node(name, Kind::Fifo, 0o600, 0)?,
        _ => return Ok(()),
    }
    copy::attributes(&source, &to.open_path(name.as_os_str())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

    fn dirs() -> (tempfile::TempDir, Dir, Dir) {
        let scratch = tempfile::tempdir().unwrap();
        for name in ["from", "to"] {
            fs::create_dir(scratch.path().join(name)).unwrap();
        }
        let open = |name: &str| Dir::open_host(&scratch.path().join(name)).unwrap();
        let (from, to) = (open("from"), open("to"));
        (scratch, from, to)
    }

    #[test]
    fn a_copy_has_modes_times_links_holes_and_fifos_but_no_sockets() {
        let (scratch, from, to) = dirs();
        let at = |path: &str| scratch.path().join(path);
        fs::create_dir_all(at("from/a/b")).unwrap();
        fs::write(at("from/a/file"), "text").unwrap();
        fs::hard_link(at("from/a/file"), at("from/a/b/again")).unwrap();
        symlink("/etc/passwd", at("from/link")).unwrap();
        fs::File::create(at("from/holes")).unwrap().set_len(1 << 40).unwrap();
        from.make_node(Name::new("fifo").unwrap(), Kind::Fifo, 0o622, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("from/socket")).unwrap();
        for (path, mode) in [("from/a/file", 0o4751), ("from/a/b", 0o555), ("from/a", 0o1770), ("from", 0o711)] {
            fs::set_permissions(at(path), Permissions::from_mode(mode)).unwrap();
        }
        copy_tree(&from, &to).unwrap();
        for path in ["", "/a", "/a/b", "/a/file", "/a/b/again", "/link", "/holes", "/fifo"] {
            let of = |side: &str| fs::symlink_metadata(at(&format!("{side}{path}"))).unwrap();
            let (one, other) = (of("from"), of("to"));
            let facts = |stat: &fs::Metadata| (stat.mode(), stat.uid(), stat.gid(), stat.mtime_nsec(), stat.nlink());
            assert_eq!(facts(&one), facts(&other), "{path}");
        }
        assert_eq!(fs::read(at("to/a/b/again")).unwrap(), b"text");
        assert_eq!(fs::metadata(at("to/a/file")).unwrap().ino(), fs::metadata(at("to/a/b/again")).unwrap().ino());
        assert_eq!(fs::read_link(at("to/link")).unwrap(), Path::new("/etc/passwd"));
        let holes = fs::metadata(at("to/holes")).unwrap();
        assert_eq!((holes.len(), holes.blocks()), (1 << 40, 0));
        assert!(fs::metadata(at("to/fifo")).unwrap().file_type().is_fifo());
        assert!(!at("to/socket").exists());
    }

    #[test]
    fn a_tree_of_any_depth_is_copied() {
        const DEPTH: usize = 1000;
        let (_scratch, from, to) = dirs();
        let name = Name::new("deep").unwrap();
        let mut dir = from.open_dir(".").unwrap();
        for _ in 0..DEPTH {
            dir.make_dir(name, 0o755).unwrap();
            dir = dir.open_dir("deep").unwrap();
        }
        copy_tree(&from, &to).unwrap();
        let mut dir = to.open_dir(".").unwrap();
        for _ in 0..DEPTH {
            dir = dir.open_dir("deep").unwrap();
        }
        assert_eq!(dir.entries().unwrap(), []);
        // Removing the directory by path would exceed the longest path.
        for side in [from, to] {
            side.remove_all(name).unwrap();
        }
    }
}
