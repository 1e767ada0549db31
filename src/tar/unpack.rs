//! Unpacks a layer archive into an empty directory, as a lower layer of overlayfs.
//!
//! Entries are made in the order of the archive; a later one of the same name replaces an earlier one. OCI's whiteout
//! names become overlayfs's whiteouts and opaque marks. A failure leaves the directory incomplete; the caller discards
//! it.

use std::io::Read;
use std::path::Path;

use super::Error;
use super::attributes::{self, Shown};
use super::entry::{self, Entry};
use super::path::{self, Leaf};
use super::reader::Reader;
use super::sparse::Segment;
use super::tree::{Place, Tree};
use crate::layer::{Owners, Policy};
use crate::sys::xattr::Of;
use crate::sys::{self, Dir, Errno, File, Kind, Name, NameBuf, OFlags, make_device};

pub(super) const BUFFER: usize = 128 << 10;

/// What was unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Entries of the archive, whiteouts included.
    pub entries: u64,
    /// Bytes of content written.
    pub bytes: u64,
}

/// Unpacks one layer, an uncompressed tar stream, into the empty directory `into`, and reads `reader` to its end.
///
/// Keeps owners, modes with set-id bits, times to the nanosecond and xattrs if `policy` allows it. Leaves out
/// attributes private to union file systems. A parent that no entry describes is made with mode 755, owned by root.
///
/// # Errors
/// What is wrong with the archive, or why the tree cannot be written, with the entry's path.
pub fn unpack(reader: impl Read, into: &Dir, policy: Policy) -> Result<Unpacked, Error> {
    let mut reader = Reader::new(reader);
    let mut unpacker = Unpacker {
        tree: Tree::new(into, policy),
        owners: policy.owners,
        buffer: vec![0; BUFFER],
        done: Unpacked::default(),
    };
    while let Some(entry) = reader.next()? {
        unpacker.unpack(&entry, &mut reader)?;
        unpacker.done.entries += 1;
    }
    unpacker.tree.finish()?;
    Ok(unpacker.done)
}

struct Unpacker<'a> {
    tree: Tree<'a>,
    owners: Owners,
    buffer: Vec<u8>,
    done: Unpacked,
}

impl Unpacker<'_> {
    fn unpack<R: Read>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> Result<(), Error> {
        let (parent, leaf) = path::split(&entry.path)?;
        match leaf {
            Leaf::Root => self.root(entry),
            Leaf::Entry(name) => {
                let place = self.tree.place(&parent, &entry.path)?;
                self.make(&place, name.as_name(), entry, reader)
            }
            Leaf::Whiteout(name) => {
                let place = self.tree.place(&parent, &entry.path)?;
                self.tree.hide(&place, name.as_name()).map_err(fail(&entry.path, "make the whiteout"))
            }
            Leaf::Opaque => {
                let place = self.tree.place(&parent, &entry.path)?;
                self.tree.make_opaque(Of::fd(&place.dir)).map_err(fail(&entry.path, "mark its directory opaque"))
            }
            Leaf::Private => {
                tracing::debug!(path = ?entry.path, "skipped what aufs keeps for itself");
                Ok(())
            }
        }
    }

    fn root(&mut self, entry: &Entry) -> Result<(), Error> {
        if entry.kind != entry::Kind::Directory {
            return Err(Error::Root { path: entry.path.clone() });
        }
        let root = self.tree.root().to_path_fd().map_err(fail(&entry.path, "open it"))?;
        let finish = attributes::apply(self.owners, &root, Shown { kind: Kind::Directory, rdev: 0 }, entry)?;
        self.tree.finish_root_later(finish);
        Ok(())
    }

    fn make<R: Read>(
        &mut self,
        place: &Place,
        name: Name<'_>,
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<(), Error> {
        let kind = match entry.kind {
            entry::Kind::Directory => {
                self.tree.make_dir(place, name).map_err(fail(&entry.path, "make the directory"))?;
                Shown { kind: Kind::Directory, rdev: 0 }
            }
            entry::Kind::Regular => {
                let file = self.create(place, name, &entry.path, "make the file", create_file)?;
                self.done.bytes += write(&file, entry, reader, &mut self.buffer)?;
                Shown { kind: Kind::Regular, rdev: 0 }
            }
            entry::Kind::Symlink => {
                let make = |dir: &Dir, name: Name<'_>| dir.make_symlink(name, &entry.target);
                self.create(place, name, &entry.path, "make the symbolic link", make)?;
                Shown { kind: Kind::Symlink, rdev: 0 }
            }
            entry::Kind::HardLink => return self.link(place, name, entry),
            entry::Kind::CharDevice { major: 0, minor: 0 } => {
                // On disk this device is a whiteout, so it is treated as one.
                tracing::warn!(path = ?entry.path, "a character device 0/0 hides what is below it");
                return self.tree.hide(place, name).map_err(fail(&entry.path, "make the whiteout"));
            }
            entry::Kind::CharDevice { major, minor } => {
                self.node(place, name, entry, Shown { kind: Kind::CharDevice, rdev: make_device(major, minor) })?
            }
            entry::Kind::BlockDevice { major, minor } => {
                self.node(place, name, entry, Shown { kind: Kind::BlockDevice, rdev: make_device(major, minor) })?
            }
            entry::Kind::Fifo => self.node(place, name, entry, Shown { kind: Kind::Fifo, rdev: 0 })?,
        };
        let made = place.dir.open_path(name.as_os_str()).map_err(fail(&entry.path, "open it"))?;
        let finish = attributes::apply(self.owners, &made, kind, entry)?;
        if kind.kind == Kind::Directory {
            self.tree.finish_later(place, name, finish);
        }
        Ok(())
    }

    /// Makes a new file at `name` with `make`; replaces what an earlier entry made there.
    fn create<T>(
        &mut self,
        place: &Place,
        name: Name<'_>,
        path: &Path,
        action: &'static str,
        make: impl Fn(&Dir, Name<'_>) -> sys::Result<T>,
    ) -> Result<T, Error> {
        match make(&place.dir, name) {
            Err(Errno::EXIST) => {
                self.tree.clear(place, name).map_err(fail(path, "replace the entry before it"))?;
                make(&place.dir, name).map_err(fail(path, action))
            }
            other => other.map_err(fail(path, action)),
        }
    }

    /// Makes a device or fifo. If owners are recorded, makes an empty file; its kind is recorded with the owner.
    fn node(&mut self, place: &Place, name: Name<'_>, entry: &Entry, shown: Shown) -> Result<Shown, Error> {
        const ACTION: &str = "make the device";
        if self.owners == Owners::Recorded {
            self.create(place, name, &entry.path, ACTION, create_file)?;
            return Ok(shown);
        }
        let make = |dir: &Dir, name: Name<'_>| match dir.make_node(name, shown.kind, 0o600, shown.rdev) {
            // A user namespace has no devices of its own.
            Err(Errno::PERM) => create_file(dir, name).map(|_| Kind::Regular),
            other => other.map(|()| shown.kind),
        };
        let kind = self.create(place, name, &entry.path, ACTION, make)?;
        if kind != shown.kind {
            tracing::warn!(path = ?entry.path, "devices need root: made an empty file instead");
        }
        Ok(Shown { kind, ..shown })
    }

    fn link(&mut self, place: &Place, name: Name<'_>, entry: &Entry) -> Result<(), Error> {
        let target = Path::new(&entry.target);
        let missing = || Error::HardLinkTarget { path: entry.path.clone(), target: target.into() };
        let mut steps = path::steps(target)
            .map_err(|_| Error::HardLinkEscape { path: entry.path.clone(), target: target.into() })?;
        let from_name: NameBuf = steps.pop().ok_or_else(missing)?;
        let from = self.tree.place(&steps, &entry.path)?;
        let (from_dir, from_name) = (&from.dir, from_name.as_name());
        let existing = match from_dir.stat(from_name) {
            Ok(stat) if stat.kind != Kind::Directory && !stat.is_whiteout_device() => stat,
            Ok(_) | Err(Errno::NOENT) => return Err(missing()),
            Err(error) => return Err(fail(&entry.path, "look at the target of the hard link")(error)),
        };
        // Linking a file to itself changes nothing, and removing the old name first would lose it.
        let same = |stat: sys::Stat| (stat.dev, stat.ino) == (existing.dev, existing.ino);
        if place.dir.stat(name).is_ok_and(same) {
            return Ok(());
        }
        let make = |dir: &Dir, name: Name<'_>| dir.link_from(from_dir, from_name, name);
        self.create(place, name, &entry.path, "make the hard link", make)
    }
}

/// Writes the content of `entry`, which `reader` is about to read, into a new file; returns the number of bytes.
pub(super) fn write<R: Read>(
    file: &File,
    entry: &Entry,
    reader: &mut Reader<R>,
    buffer: &mut [u8],
) -> Result<u64, Error> {
    let whole = [Segment { offset: 0, len: entry.size }];
    let mut bytes = 0;
    for &Segment { offset, len } in entry.sparse.as_deref().unwrap_or(&whole) {
        let mut done = 0;
        while done < len {
            let want = usize::try_from(len - done).unwrap_or(usize::MAX).min(buffer.len());
            let got = reader.read_content(&mut buffer[..want])?;
            write_all(file, &buffer[..got], offset + done).map_err(fail(&entry.path, "write it"))?;
            done += got as u64;
        }
        bytes += len;
    }
    if entry.sparse.is_some() {
        file.set_len(entry.size).map_err(fail(&entry.path, "write it"))?;
    }
    Ok(bytes)
}

pub(super) fn create_file(dir: &Dir, name: Name<'_>) -> sys::Result<File> {
    dir.open_file(name.as_os_str(), OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, 0o600)
}

fn write_all(file: &File, data: &[u8], offset: u64) -> sys::Result<()> {
    let mut done = 0;
    while done < data.len() {
        done += file.write_at(&data[done..], offset + done as u64)?;
    }
    Ok(())
}

fn fail(path: &Path, action: &'static str) -> impl Fn(Errno) -> Error {
    move |source| Error::Tree { path: path.into(), action, source }
}
