//! The future root directory of a container, accessed from outside.
//!
//! Paths resolve as they will for a process inside: symbolic links are followed, `/` is this directory, and `..` does
//! not leave it. No path leads to the host, even when another process changes links meanwhile.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self as rfs, Mode, OFlags, ResolveFlags};

use super::{Dir, Errno, File, Kind, Name, PathFd, Result};

/// The most symbolic links that [`Root::make_dirs`] follows in one path; the kernel's limit.
const LINKS_MAX: usize = 40;

/// The future root directory; see the module.
#[derive(Debug)]
pub struct Root(Dir);

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Dir> for Root {
    fn from(dir: Dir) -> Root {
        Root(dir)
    }
}

impl Root {
    fn openat2(&self, path: &Path, flags: OFlags) -> Result<std::os::fd::OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rfs::openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => continue,
                other => return other,
            }
        }
    }

    /// An `O_PATH` descriptor of the file at `path`; a symbolic link at its end is followed.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open_path(&self, path: impl AsRef<Path>) -> Result<PathFd> {
        self.openat2(path.as_ref(), OFlags::PATH).map(PathFd::from)
    }

    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// As `openat2(2)`; `ENOTDIR` when it is not a directory.
    pub fn open_dir(&self, path: impl AsRef<Path>) -> Result<Dir> {
        self.openat2(path.as_ref(), OFlags::PATH | OFlags::DIRECTORY).map(Dir::from)
    }

    /// Opens the file at `path` for reading.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open_file(&self, path: impl AsRef<Path>) -> Result<File> {
        self.openat2(path.as_ref(), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).map(File::from)
    }

    /// Opens the directory at `path`; makes it and its missing parents with mode 755.
    ///
    /// # Errors
    /// `ENOTDIR` when a file is in the way, `ELOOP` for a circle of links and for links in `/proc` to open files; else
    /// as `mkdirat(2)`.
    pub fn make_dirs(&self, path: impl AsRef<Path>) -> Result<Dir> {
        let mut links = 0;
        let mut done = PathBuf::new();
        let mut rest: Vec<PathBuf> = steps(path.as_ref());
        while let Some(step) = rest.pop() {
            if step == Path::new("..") {
                done.pop();
                continue;
            }
            let parent = self.open_dir(in_root(&done))?;
            let name = Name::new(step.as_os_str())?;
            match parent.stat(name).map(|stat| stat.kind) {
                Ok(Kind::Symlink) => {
                    // A link in /proc to a process's open file has a text, but leads elsewhere.
                    let whole = in_root(&done.join(&step));
                    if self.open_path(whole).err() == Some(Errno::LOOP) {
                        return Err(Errno::LOOP);
                    }
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    let target = PathBuf::from(parent.read_link(name)?);
                    if target.has_root() {
                        done.clear();
                    }
                    rest.extend(steps(&target));
                    continue;
                }
                Ok(Kind::Directory) => {}
                Ok(_) => return Err(Errno::NOTDIR),
                Err(Errno::NOENT) => match parent.make_dir(name, 0o755) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(e),
                },
                Err(e) => return Err(e),
            }
            done.push(step);
        }
        self.open_dir(in_root(&done))
    }

    /// Opens the file at `path`, of any kind. When it is missing, makes an empty file with mode 644 and its missing
    /// parents.
    ///
    /// # Errors
    /// As [`Root::make_dirs`] and `mknodat(2)`.
    pub fn make_file(&self, path: impl AsRef<Path>) -> Result<PathFd> {
        let path = path.as_ref();
        match self.open_path(path) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let parent = self.make_dirs(path.parent().unwrap_or(Path::new("/")))?;
        let name = Name::new(path.file_name().unwrap_or(OsStr::new("")))?;
        match parent.make_node(name, Kind::Regular, 0o644, 0) {
            // A dangling link: make its target, unless that is a link too.
            Err(Errno::EXIST) => {
                let target = PathBuf::from(parent.read_link(name)?);
                let whole = path.parent().unwrap_or(Path::new("/")).join(target);
                let dir = self.make_dirs(whole.parent().unwrap_or(Path::new("/")))?;
                let name = Name::new(whole.file_name().unwrap_or(OsStr::new("")))?;
                dir.make_node(name, Kind::Regular, 0o644, 0)?;
            }
            other => other?,
        }
        self.open_path(path)
    }
}

/// The components of `path` as a stack: the first component is popped last. `..` stays; `/` and `.` are dropped.
fn steps(path: &Path) -> Vec<PathBuf> {
    let all = path.components().filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir));
    let mut steps: Vec<PathBuf> = all.map(|c| PathBuf::from(c.as_os_str())).collect();
    steps.reverse();
    steps
}

/// An absolute form of `path`: `openat2` refuses an empty path.
fn in_root(path: &Path) -> PathBuf {
    Path::new("/").join(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn fixture() -> (tempfile::TempDir, Root) {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir_all(top.path().join("root/etc")).unwrap();
        fs::write(top.path().join("secret"), "host").unwrap();
        fs::write(top.path().join("root/etc/secret"), "image").unwrap();
        let root = Root::from(Dir::open_host(&top.path().join("root")).unwrap());
        (top, root)
    }

    fn link(top: &tempfile::TempDir, target: &str, name: &str) {
        symlink(target, top.path().join("root").join(name)).unwrap();
    }

    #[test]
    fn a_link_of_the_image_never_leads_out_to_the_host() {
        let (top, root) = fixture();
        link(&top, "../../secret", "climbs");
        link(&top, "../secret", "etc/up");
        link(&top, top.path().join("secret").to_str().unwrap(), "absolute");
        for path in ["climbs", "etc/up", "absolute", "../secret", "/../../secret"] {
            assert_eq!(root.open_path(path).err(), Some(Errno::NOENT), "{path}");
        }
    }

    #[test]
    fn a_directory_is_made_where_a_process_inside_would_find_it() {
        for (links, path, made) in [
            (&[][..], "/a/b", "a/b"),
            (&[("var/x", "x")], "x/y", "var/x/y"),
            (&[("/var/x", "x")], "/x/y", "var/x/y"),
            (&[("../../../up", "x")], "/x/y", "up/y"),
            (&[("z", "x"), ("q", "z")], "/x", "q"),
            (&[], "/a/../../b", "b"),
        ] {
            let (top, root) = fixture();
            for (target, name) in links {
                link(&top, target, name);
            }
            root.make_dirs(path).unwrap();
            assert!(top.path().join("root").join(made).is_dir(), "{path} with {links:?}");
            assert_eq!(fs::read_dir(top.path()).unwrap().count(), 2, "{path} made something outside");
        }
    }

    #[test]
    fn loops_and_files_on_the_way_are_errors() {
        let (top, root) = fixture();
        link(&top, "round", "round");
        assert_eq!(root.make_dirs("round/x").err(), Some(Errno::LOOP));
        assert_eq!(root.make_dirs("etc/secret/x").err(), Some(Errno::NOTDIR));
    }

    #[test]
    fn a_file_is_made_with_its_directories_and_never_through_a_link_to_the_host() {
        let (top, root) = fixture();
        root.make_file("run/x/hosts").unwrap();
        assert!(top.path().join("root/run/x/hosts").is_file());
        link(&top, "/run/late", "etc/dangling");
        root.make_file("etc/dangling").unwrap();
        assert!(top.path().join("root/run/late").is_file());
        link(&top, "../../made", "escape");
        root.make_file("escape").unwrap();
        assert!(top.path().join("root/made").is_file());
        assert!(!top.path().join("made").exists());
    }
}
