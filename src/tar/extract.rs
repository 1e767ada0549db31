//! Extracts an archive into a directory with files in it: for copies into a live tree.
//!
//! The archive can be hostile, and so can those who change the tree meanwhile: every step is beneath the directory and
//! follows no link. A directory merges with one that exists; everything else replaces what had its name, but neither a
//! directory a file nor a file a directory.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::Error;
use super::archive::CAPABILITY;
use super::entry::{Entry, Kind};
use super::path::{PATH_MAX, steps};
use super::reader::Reader;
use super::tree::Finish;
use super::unpack::{BUFFER, create_file, write};
use crate::layer::marks::is_mark;
use crate::sys::xattr::{self, Of, Set};
use crate::sys::{self, Dir, Errno, Name, NameBuf, OFlags, PathFd, SetTime, make_device};

/// Who owns the extracted files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Those whom the archive names. Set-id bits and capabilities are kept.
    Archived,
    /// One user and group.
    One {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// This process.
    Own,
}

/// What is done with device nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Devices {
    /// They are made where this process may do that, and else left out with a warning.
    Make,
    /// They are left out with a warning.
    LeaveOut,
}

/// Extracts an uncompressed tar stream into `into`, reads `reader` to its end, and returns the number of bytes of
/// content. The process's umask must be 0.
///
/// # Errors
/// What is wrong with the archive, or why a file cannot be written, with the entry's path. What was extracted before
/// stays.
pub fn extract(reader: impl Read, into: &Dir, owner: Owner, devices: Devices) -> Result<u64, Error> {
    let mut reader = Reader::new(reader);
    let (buffer, dirs) = (vec![0; BUFFER], Vec::new());
    let mut extractor = Extractor { into, owner, devices, buffer, dirs, recent: None, bytes: 0 };
    while let Some(entry) = reader.next()? {
        extractor.entry(&entry, &mut reader)?;
    }
    extractor.finish()?;
    Ok(extractor.bytes)
}

struct Extractor<'a> {
    into: &'a Dir,
    owner: Owner,
    devices: Devices,
    buffer: Vec<u8>,
    /// Directories and the attributes that they get at the end, each after its parent.
    dirs: Vec<(PathBuf, Finish)>,
    /// The directory of the previous entry; the next entry is mostly in the same one.
    recent: Option<(PathBuf, Dir)>,
    bytes: u64,
}

impl Extractor<'_> {
    fn entry<R: Read>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> Result<(), Error> {
        let mut parent = steps(&entry.path)?;
        let Some(name) = parent.pop() else {
            // The directory into which everything goes keeps its attributes.
            return if entry.kind == Kind::Directory { Ok(()) } else { Err(Error::Root { path: entry.path.clone() }) };
        };
        let path: PathBuf = parent.iter().map(NameBuf::as_os_str).collect();
        if path.as_os_str().len() + name.as_os_str().len() >= PATH_MAX {
            return Err(fail(entry, "reach its directory")(Errno::NAMETOOLONG));
        }
        let dir = match self.recent.take() {
            Some((recent, dir)) if recent == path => dir,
            _ => self.parent(&parent, entry)?,
        };
        let made = self.make(&dir, name.as_name(), entry, reader)?;
        if let Some(finish) = made {
            self.dirs.push((path.join(name.as_os_str()), finish));
        }
        self.recent = Some((path, dir));
        Ok(())
    }

    /// The directory `steps`; makes missing ones.
    fn parent(&self, steps: &[NameBuf], entry: &Entry) -> Result<Dir, Error> {
        let fail = fail(entry, "reach its directory");
        let path: PathBuf = steps.iter().map(NameBuf::as_os_str).collect();
        if let Ok(dir) = self.into.open_dir(if steps.is_empty() { Path::new(".") } else { &path }) {
            return Ok(dir);
        }
        let mut dir = self.into.open_dir(".").map_err(&fail)?;
        for step in steps {
            dir = match dir.open_dir(step.as_os_str()) {
                Err(Errno::NOENT) => {
                    dir.make_dir(step.as_name(), 0o755).map_err(&fail)?;
                    let made = dir.open_dir(step.as_os_str()).map_err(&fail)?;
                    if let Owner::One { uid, gid } = self.owner {
                        made.set_own_owner(Some(uid), Some(gid)).map_err(&fail)?;
                    }
                    made
                }
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    return Err(Error::Parent { path: entry.path.clone(), parent: step.as_os_str().into() });
                }
                other => other.map_err(&fail)?,
            };
        }
        Ok(dir)
    }

    /// Makes one entry. Returns what a directory gets at the end.
    fn make<R: Read>(
        &mut self,
        dir: &Dir,
        name: Name<'_>,
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<Option<Finish>, Error> {
        let existing = match dir.stat(name) {
            Err(Errno::NOENT) => None,
            other => Some(other.map_err(fail(entry, "look at what is there"))?.kind),
        };
        match (existing, entry.kind) {
            (Some(sys::Kind::Directory), Kind::Directory) => {}
            (Some(sys::Kind::Directory), _) => return Err(Error::OverDirectory { path: entry.path.clone() }),
            (Some(_), Kind::Directory) => return Err(Error::OverFile { path: entry.path.clone() }),
            (None, Kind::Directory) => dir.make_dir(name, 0o700).map_err(fail(entry, "make the directory"))?,
            (_, Kind::Regular) => {
                let file = self.create(dir, name, entry, create_file, |dir, name| {
                    // A file that is mounted there, such as /etc/hosts, cannot be replaced, but written.
                    dir.open_file(name.as_os_str(), OFlags::WRONLY | OFlags::TRUNC, 0)
                })?;
                self.bytes += write(&file, entry, reader, &mut self.buffer)?;
                return self.apply(&file.to_path_fd().map_err(fail(entry, "open it"))?, entry);
            }
            (_, Kind::Symlink) => {
                let make = |dir: &Dir, name: Name<'_>| dir.make_symlink(name, &entry.target);
                self.create(dir, name, entry, make, |_, _| Err(Errno::BUSY))?;
            }
            (_, Kind::HardLink) => return self.link(dir, name, entry).map(|()| None),
            (_, Kind::Fifo) => {
                let make = |dir: &Dir, name: Name<'_>| dir.make_node(name, sys::Kind::Fifo, 0o600, 0);
                self.create(dir, name, entry, make, |_, _| Err(Errno::BUSY))?;
            }
            (_, Kind::CharDevice { major, minor }) => {
                return self.device(dir, name, entry, (sys::Kind::CharDevice, make_device(major, minor)));
            }
            (_, Kind::BlockDevice { major, minor }) => {
                return self.device(dir, name, entry, (sys::Kind::BlockDevice, make_device(major, minor)));
            }
        }
        let kind = match entry.kind {
            Kind::Directory => sys::Kind::Directory,
            Kind::Symlink => sys::Kind::Symlink,
            _ => sys::Kind::Fifo,
        };
        self.apply(&made(dir, name, kind).map_err(fail(entry, "open it"))?, entry)
    }

    /// Makes a new file in place of the one that has its name; where that one cannot be removed, uses `in_place`.
    fn create<T>(
        &self,
        dir: &Dir,
        name: Name<'_>,
        entry: &Entry,
        make: impl Fn(&Dir, Name<'_>) -> sys::Result<T>,
        in_place: impl Fn(&Dir, Name<'_>) -> sys::Result<T>,
    ) -> Result<T, Error> {
        let made = match make(dir, name) {
            Err(Errno::EXIST) => match dir.remove_file(name) {
                Err(Errno::BUSY) => in_place(dir, name),
                Ok(()) | Err(Errno::NOENT) => make(dir, name),
                Err(errno) => Err(errno),
            },
            other => other,
        };
        made.map_err(fail(entry, "make it"))
    }

    fn device(
        &self,
        dir: &Dir,
        name: Name<'_>,
        entry: &Entry,
        (kind, number): (sys::Kind, u64),
    ) -> Result<Option<Finish>, Error> {
        let refused = self.devices == Devices::LeaveOut || number == 0;
        let make = |dir: &Dir, name: Name<'_>| match dir.make_node(name, kind, 0o600, number) {
            Err(Errno::PERM) => Ok(false),
            other => other.map(|()| true),
        };
        if refused || !self.create(dir, name, entry, make, |_, _| Err(Errno::BUSY))? {
            tracing::warn!(path = ?entry.path, "left out a device");
            return Ok(None);
        }
        self.apply(&made(dir, name, kind).map_err(fail(entry, "open it"))?, entry)
    }

    fn link(&mut self, dir: &Dir, name: Name<'_>, entry: &Entry) -> Result<(), Error> {
        let target = Path::new(&entry.target);
        let missing = || Error::HardLinkTarget { path: entry.path.clone(), target: target.into() };
        let mut steps =
            steps(target).map_err(|_| Error::HardLinkEscape { path: entry.path.clone(), target: target.into() })?;
        let from = steps.pop().ok_or_else(missing)?;
        let path: PathBuf = steps.iter().map(NameBuf::as_os_str).collect();
        let from_dir = self.into.open_dir(if steps.is_empty() { Path::new(".") } else { &path });
        let from_dir = from_dir.map_err(|_| missing())?;
        let existing = from_dir.stat(from.as_name()).map_err(|_| missing())?;
        // Linking a file to itself changes nothing, and removing the old name first would lose it.
        if dir.stat(name).is_ok_and(|stat| (stat.dev, stat.ino) == (existing.dev, existing.ino)) {
            return Ok(());
        }
        let make = |dir: &Dir, name: Name<'_>| dir.link_from(&from_dir, from.as_name(), name);
        self.create(dir, name, entry, make, |_, _| Err(Errno::BUSY))
    }

    /// Sets owner, mode, attributes and times; those of a directory that change with its content are set at the end.
    fn apply(&self, fd: &PathFd, entry: &Entry) -> Result<Option<Finish>, Error> {
        // The owner comes first: changing it takes set-id bits and capabilities away.
        let owner = match self.owner {
            Owner::Archived => Some((entry.uid, entry.gid)),
            Owner::One { uid, gid } => Some((uid, gid)),
            Owner::Own => None,
        };
        if let Some((uid, gid)) = owner {
            fd.set_owner(Some(uid), Some(gid)).map_err(|error| match error {
                Errno::INVAL => Error::Owner { path: entry.path.clone(), uid, gid },
                source => fail(entry, "set its owner")(source),
            })?;
        }
        let keeps_rights = self.owner == Owner::Archived;
        for (key, value) in &entry.xattrs {
            if is_mark(key) || (key == CAPABILITY && !keeps_rights) {
                continue;
            }
            match xattr::set(Of::fd(fd), key, value, Set::Any) {
                Err(error @ (Errno::PERM | Errno::OPNOTSUPP)) => {
                    tracing::warn!(path = ?entry.path, ?key, %error, "left out an extended attribute");
                }
                other => other.map_err(|source| Error::Xattr { path: entry.path.clone(), key: key.clone(), source })?,
            }
        }
        // The sticky bit gives nobody rights.
        let perm = if keeps_rights { entry.perm } else { entry.perm & 0o1777 };
        let finish = Finish { perm, mtime: entry.mtime };
        match entry.kind {
            Kind::Directory => return Ok(Some(finish)),
            Kind::Symlink => {}
            _ => fd.set_perm(perm).map_err(fail(entry, "set its mode"))?,
        }
        let time = SetTime::To(entry.mtime);
        fd.set_times(time, time).map_err(fail(entry, "set its time"))?;
        Ok(None)
    }

    /// Gives the directories their modes and times, children before their parents.
    fn finish(&mut self) -> Result<(), Error> {
        for (path, Finish { perm, mtime }) in std::mem::take(&mut self.dirs).into_iter().rev() {
            let time = SetTime::To(mtime);
            let set = self.into.open_dir(&path).and_then(|dir| {
                dir.set_own_perm(perm)?;
                dir.set_own_times(time, time)
            });
            match set {
                // Another process has moved it meanwhile.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                other => {
                    other.map_err(|source| Error::Tree { path, action: "set its mode and time", source })?;
                }
            }
        }
        Ok(())
    }
}

/// Opens what was just made as `name`, if it is that: another process can have put a link to a file of someone else
/// there meanwhile, whose owner must not change.
fn made(dir: &Dir, name: Name<'_>, kind: sys::Kind) -> sys::Result<PathFd> {
    let fd = dir.open_path(name.as_os_str())?;
    let stat = fd.stat()?;
    let is_it = stat.kind == kind && (kind == sys::Kind::Directory || stat.nlink == 1);
    if is_it { Ok(fd) } else { Err(Errno::STALE) }
}

fn fail(entry: &Entry, action: &'static str) -> impl Fn(Errno) -> Error + use<> {
    let path = entry.path.clone();
    move |source| Error::Tree { path: path.clone(), action, source }
}
