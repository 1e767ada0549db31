//! Packs files as they are, without marks and whiteouts of layers: for copies out of a live tree.
//!
//! The tree can change meanwhile, and another user may want that: every step is beneath a descriptor and follows no
//! link, and each file is opened once and looked at through its descriptor.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Error;
use super::entry::{Entry, Kind};
use super::pack::{BUFFER, kind};
use super::path::PATH_MAX;
use super::writer::Writer;
use crate::layer::marks::is_mark;
use crate::sys::xattr::{self, Of};
use crate::sys::{self, Dir, Errno, Name, NameBuf, OFlags, PathFd, Stat};

/// The attribute that gives a program capabilities.
pub(super) const CAPABILITY: &str = "security.capability";

/// Packs the file, directory or link `name` of `dir`, or `dir` itself and all below it, and returns the number of bytes
/// of content. In the archive it is called `called`; with an empty path, a directory is `.` and its entries have no
/// prefix.
///
/// Sockets are left out, and what is below directories that are views of the kernel, such as `/proc`. Further names of a
/// file become hard links. Of the extended attributes, those of users and capabilities are kept.
///
/// # Errors
/// The first error of reading, with the path, or of writing. What vanishes meanwhile is left out.
pub fn archive<W: Write>(dir: &Dir, name: Option<Name<'_>>, called: &Path, writer: W) -> Result<u64, Error> {
    let top = match name {
        Some(name) => dir.open_path(name.as_os_str()),
        None => dir.to_path_fd(),
    };
    let top = top.map_err(fail(called, "open it"))?;
    let mut packer =
        Packer { to: Writer::new(writer), links: HashMap::new(), buffer: vec![0; BUFFER], called, bytes: 0 };
    let stat = top.stat().map_err(fail(called, "read its attributes"))?;
    packer.entry(Path::new(""), &top, &stat)?;
    if stat.kind == sys::Kind::Directory {
        let root = match name {
            Some(name) => dir.open_dir(name.as_os_str()),
            None => dir.open_dir("."),
        };
        packer.tree(&root.map_err(fail(called, "open it"))?, stat.dev)?;
    }
    packer.to.finish()?;
    Ok(packer.bytes)
}

struct Packer<'a, W> {
    to: Writer<W>,
    /// The path in the archive of the first packed name of each file with several names, by device and inode number.
    links: HashMap<(u64, u64), PathBuf>,
    buffer: Vec<u8>,
    called: &'a Path,
    bytes: u64,
}

/// A directory on the path to the entry that is being packed. It is not open, because a tree can be deeper than the
/// limit of open descriptors.
struct Level {
    names: std::vec::IntoIter<NameBuf>,
    device: u64,
}

impl<W: Write> Packer<'_, W> {
    /// Packs everything below `root`. A loop and no recursion, because a tree can be deeper than the stack.
    fn tree(&mut self, root: &Dir, device: u64) -> Result<(), Error> {
        let mut path = PathBuf::new();
        let mut levels = vec![self.enter(root, &path, device)?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.next() else {
                levels.pop();
                path.pop();
                continue;
            };
            let (parent, device) = (path.clone(), level.device);
            path.push(name.as_os_str());
            let found = open_dir(root, &parent).and_then(|dir| dir.open_path(name.as_os_str()));
            match self.below(root, &path, found, device)? {
                Some(level) => levels.push(level),
                None => drop(path.pop()),
            }
        }
        Ok(())
    }

    /// Packs one entry below the top. Returns a directory to be entered.
    fn below(
        &mut self,
        root: &Dir,
        path: &Path,
        found: sys::Result<PathFd>,
        parent: u64,
    ) -> Result<Option<Level>, Error> {
        let fd = match found {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            other => other.map_err(fail(&self.called.join(path), "open it"))?,
        };
        let stat = fd.stat().map_err(fail(&self.called.join(path), "read its attributes"))?;
        self.entry(path, &fd, &stat)?;
        if stat.kind != sys::Kind::Directory {
            return Ok(None);
        }
        let is_view = stat.dev != parent
            && sys::is_view_of_kernel(&fd).map_err(fail(&self.called.join(path), "read its attributes"))?;
        if is_view { Ok(None) } else { self.enter(root, path, stat.dev).map(Some) }
    }

    fn enter(&self, root: &Dir, path: &Path, device: u64) -> Result<Level, Error> {
        let fail = fail(path, "list it");
        if path.as_os_str().len() >= PATH_MAX {
            return Err(fail(Errno::NAMETOOLONG));
        }
        let mut names: Vec<NameBuf> = match open_dir(root, path).and_then(|dir| dir.entries_quietly()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Vec::new(),
            other => other.map_err(fail)?.into_iter().map(|entry| entry.name).collect(),
        };
        names.sort_unstable();
        Ok(Level { names: names.into_iter(), device })
    }

    /// Packs one file, directory or link, which is `path` below the top.
    fn entry(&mut self, path: &Path, from: &PathFd, stat: &Stat) -> Result<(), Error> {
        // Joining an empty path would add a slash.
        let path = if path.as_os_str().is_empty() { self.called.to_owned() } else { self.called.join(path) };
        let path = if path.as_os_str().is_empty() { PathBuf::from(".") } else { path };
        let Some(kind) = kind(stat) else {
            tracing::warn!(?path, "left out a socket");
            return Ok(());
        };
        let mut entry = Entry::bare(path, kind);
        (entry.perm, entry.uid, entry.gid, entry.mtime) = (stat.perm, stat.uid, stat.gid, stat.mtime);
        if kind != Kind::Directory && stat.nlink > 1 {
            if let Some(first) = self.links.get(&(stat.dev, stat.ino)) {
                entry.kind = Kind::HardLink;
                entry.target = first.clone().into();
                self.to.begin(&entry)?;
                return self.to.end();
            }
            self.links.insert((stat.dev, stat.ino), entry.path.clone());
        }
        match kind {
            Kind::Regular => {
                // The link in /proc leads to exactly this file, whatever has its name now.
                let file = from.open_quietly(OFlags::RDONLY).map_err(fail(&entry.path, "open it"))?;
                entry.xattrs = xattrs(from).map_err(fail(&entry.path, "read its extended attributes"))?;
                entry.size = stat.size;
                self.to.begin(&entry)?;
                self.to.content_of(&file, &entry, &mut self.buffer)?;
                self.bytes += entry.size;
            }
            Kind::Directory => {
                entry.xattrs = xattrs(from).map_err(fail(&entry.path, "read its extended attributes"))?;
                self.to.begin(&entry)?;
            }
            Kind::Symlink => {
                entry.target = from.read_link().map_err(fail(&entry.path, "read the link"))?;
                self.to.begin(&entry)?;
            }
            _ => self.to.begin(&entry)?,
        }
        self.to.end()
    }
}

fn open_dir(root: &Dir, path: &Path) -> sys::Result<Dir> {
    root.open_dir(if path.as_os_str().is_empty() { Path::new(".") } else { path })
}

/// The attributes to pack, sorted by name.
fn xattrs(from: &PathFd) -> sys::Result<Vec<(OsString, Vec<u8>)>> {
    let mut xattrs = Vec::new();
    for key in xattr::list(Of::fd(from))? {
        let bytes = key.as_bytes();
        let is_kept = key == CAPABILITY || bytes.starts_with(b"user.");
        if !is_kept || bytes.contains(&b'=') || is_mark(&key) {
            continue;
        }
        if let Some(value) = xattr::get(Of::fd(from), &key)? {
            xattrs.push((key, value));
        }
    }
    xattrs.sort();
    Ok(xattrs)
}

fn fail(path: &Path, action: &'static str) -> impl Fn(Errno) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Tree { path: path.clone(), action, source }
}
