//! An upper directory into an OCI layer: what it changes, and nothing of how overlay notes that.
//!
//! Parents come before their children and names in the order of their bytes, so that one tree always
//! makes one archive. Marks are decoded; an attribute private to a union file system never leaves.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::entry::{Entry, Kind};
use super::path::{OPAQUE, PATH_MAX, WHITEOUT};
use super::writer::Writer;
use super::{Error, attributes};
use crate::layer::marks::visible_xattrs;
use crate::layer::{LayerDir, Mark, Marks, Policy, Seen};
use crate::sys::xattr::{self, Of};
use crate::sys::{self, Dir, Errno, File, Name, OFlags, Stat, device_major, device_minor};

const BUFFER: usize = 128 << 10;

/// Packs the directory `upper`, which nobody may change meanwhile, and answers `writer`, flushed.
///
/// Owners and kinds are those that `policy` shows users. Names of one file become hard links.
/// Sockets, which no archive can hold, are left out.
///
/// # Errors
/// `Mark` for a file whose content is elsewhere below, `Reserved` for a name that means a whiteout
/// in a layer; else the first error of reading, with the path, or of writing.
pub fn pack<W: Write>(upper: &Dir, policy: Policy, writer: W) -> Result<W, Error> {
    let mut packer = Packer { to: Writer::new(writer), policy, links: HashMap::new(), buffer: vec![0; BUFFER] };
    let root = Path::new(".");
    let fail = fail(root, "read its attributes");
    let stat = upper.stat_self().map_err(fail)?;
    let upper = LayerDir::new(upper.open_dir(".").map_err(fail)?, policy.marks);
    let opaque = upper.is_opaque().map_err(fail)?;
    packer.entry(root, Of::fd(&upper), stat, None)?;
    packer.children(&upper, Path::new(""), opaque)?;
    packer.to.finish()
}

struct Packer<W> {
    to: Writer<W>,
    policy: Policy,
    /// Where the first name of each file with several is.
    links: HashMap<(u64, u64), PathBuf>,
    buffer: Vec<u8>,
}

impl<W: Write> Packer<W> {
    fn children(&mut self, dir: &LayerDir, path: &Path, opaque: bool) -> Result<(), Error> {
        // Deeper than any tool could unpack it.
        if path.as_os_str().len() >= PATH_MAX {
            return Err(fail(path, "list it")(Errno::NAMETOOLONG));
        }
        if opaque {
            self.whiteout(path.join(OPAQUE))?;
        }
        for name in &dir.list_quietly().map_err(fail(path, "list it"))?.names() {
            let path = path.join(name.as_os_str());
            match dir.see(name.as_name()).map_err(fail(&path, "read its attributes"))? {
                Seen::Nothing => {}
                Seen::Whiteout => self.whiteout(whiteout_path(&path, name.as_name()))?,
                Seen::Entry(found) => {
                    if name.as_os_str().as_bytes().starts_with(WHITEOUT.as_bytes()) {
                        return Err(Error::Reserved { path });
                    }
                    self.entry(&path, Of::Name(dir, name.as_name()), found.stat, Some((dir, name.as_name())))?;
                    if found.is_dir() {
                        let child = dir.open_dir(name.as_os_str()).map_err(fail(&path, "open it"))?;
                        self.children(&child, &path, found.opaque)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn whiteout(&mut self, path: PathBuf) -> Result<(), Error> {
        self.to.begin(&Entry::bare(path, Kind::Regular))?;
        self.to.end()
    }

    /// One file, directory or link; `at` is where its content or target is read, which a root has not.
    fn entry(&mut self, path: &Path, of: Of<'_>, stat: Stat, at: Option<(&Dir, Name<'_>)>) -> Result<(), Error> {
        let marks = Marks::read(of, self.policy.marks).map_err(fail(path, "read its attributes"))?;
        for (mark, name) in [(Mark::Redirect, "redirect"), (Mark::Metacopy, "metacopy")] {
            if marks.get(mark).is_some() {
                return Err(Error::Mark { path: path.into(), mark: name });
            }
        }
        let shown = self.policy.owners.stat(of, stat).map_err(fail(path, "read its owner"))?;
        let Some(kind) = kind(&shown) else {
            tracing::warn!(?path, "left out a socket");
            return Ok(());
        };
        let mut entry = Entry::bare(path.into(), kind);
        (entry.perm, entry.uid, entry.gid, entry.mtime) = (shown.perm, shown.uid, shown.gid, shown.mtime);
        if kind != Kind::Directory && stat.nlink > 1 {
            if let Some(first) = self.links.get(&(stat.dev, stat.ino)) {
                entry.kind = Kind::HardLink;
                entry.target = first.clone().into();
                self.to.begin(&entry)?;
                return self.to.end();
            }
            self.links.insert((stat.dev, stat.ino), path.into());
        }
        entry.xattrs = xattrs(of, path)?;
        match (kind, at) {
            (Kind::Regular, Some((dir, name))) => {
                let file = dir.open_file(name.as_os_str(), OFlags::RDONLY, 0).map_err(fail(path, "open it"))?;
                entry.size = stat.size;
                self.to.begin(&entry)?;
                self.content(&file, &entry)?;
            }
            (Kind::Symlink, Some((dir, name))) => {
                entry.target = dir.read_link(name).map_err(fail(path, "read the link"))?;
                self.to.begin(&entry)?;
            }
            _ => self.to.begin(&entry)?,
        }
        self.to.end()
    }

    fn content(&mut self, file: &File, entry: &Entry) -> Result<(), Error> {
        let mut done = 0;
        while done < entry.size {
            let want = usize::try_from(entry.size - done).unwrap_or(BUFFER).min(BUFFER);
            let got = file.read_at(&mut self.buffer[..want], done).map_err(fail(&entry.path, "read it"))?;
            if got == 0 {
                return Err(Error::Shrunk { path: entry.path.clone(), expected: entry.size, found: done });
            }
            self.to.content(&self.buffer[..got])?;
            done += got as u64;
        }
        Ok(())
    }
}

/// What an archive calls the kind of file that users see; it has no word for a socket.
fn kind(shown: &Stat) -> Option<Kind> {
    let (major, minor) = (device_major(shown.rdev), device_minor(shown.rdev));
    Some(match shown.kind {
        sys::Kind::Regular => Kind::Regular,
        sys::Kind::Directory => Kind::Directory,
        sys::Kind::Symlink => Kind::Symlink,
        sys::Kind::CharDevice => Kind::CharDevice { major, minor },
        sys::Kind::BlockDevice => Kind::BlockDevice { major, minor },
        sys::Kind::Fifo => Kind::Fifo,
        sys::Kind::Socket => return None,
    })
}

/// The attributes that go with the file to another host, sorted by name.
fn xattrs(of: Of<'_>, path: &Path) -> Result<Vec<(OsString, Vec<u8>)>, Error> {
    let fail = fail(path, "read its extended attributes");
    let mut xattrs = Vec::new();
    for key in visible_xattrs(of).map_err(fail)? {
        if attributes::is_of_host(&key) {
            continue;
        }
        if key.as_bytes().contains(&b'=') {
            tracing::warn!(?path, ?key, "left out an extended attribute that no archive can hold");
            continue;
        }
        if let Some(value) = xattr::get(of, &key).map_err(fail)? {
            xattrs.push((key, value));
        }
    }
    xattrs.sort();
    Ok(xattrs)
}

fn whiteout_path(path: &Path, name: Name<'_>) -> PathBuf {
    let mut whiteout = OsString::from(WHITEOUT);
    whiteout.push(name.as_os_str());
    path.with_file_name(whiteout)
}

fn fail(path: &Path, action: &'static str) -> impl Fn(Errno) -> Error + Copy {
    move |source| Error::Tree { path: path.into(), action, source }
}
