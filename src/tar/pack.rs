//! Packs the changes of an upper directory as an OCI layer.
//!
//! Parents come before their children and names are in byte order, so that the same tree always makes the same archive.
//! Marks are decoded; attributes private to a union file system are never packed.

use std::collections::{BTreeSet, HashMap, btree_set};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::entry::{Entry, Kind};
use super::path::{OPAQUE, PATH_MAX, WHITEOUT};
use super::writer::Writer;
use super::{Error, attributes};
use crate::layer::{Found, LayerEntry, Merge, MergedDir, Over, Part, Policy, Resolution, Verdict};
use crate::sys::{self, Errno, Name, NameBuf, Stat, Timestamp, device_major, device_minor};

pub(super) const BUFFER: usize = 128 << 10;

/// Packs the changes of an upper directory against the layers below it, and returns the flushed `writer`. Nothing may
/// change the directory meanwhile.
///
/// Owners and kinds are those that `policy` shows users. Further names of a file become hard links. Entries that only
/// refer to a lower layer are packed completely: the data of metadata-only files, and the content of renamed
/// directories. Sockets are left out, because no archive can hold them.
///
/// # Errors
/// `Reserved` and `WhiteoutDevice` for a name or a device that would mean a whiteout in a layer; else the first error
/// of reading, with the path, or of writing.
pub fn pack<W: Write>(over: Over<'_>, policy: Policy, writer: W) -> Result<W, Error> {
    pack_until(over, policy, None, writer)
}

/// As [`pack`]; files get at most the time `latest`, in seconds since 1970, so that two builds make the same archive.
///
/// # Errors
/// As [`pack`].
pub fn pack_until<W: Write>(over: Over<'_>, policy: Policy, latest: Option<i64>, writer: W) -> Result<W, Error> {
    let root = Path::new(".");
    let fail = fail(root, "read its attributes");
    let merge = Merge::open(over, policy).map_err(fail)?;
    let merged = merge.root().map_err(fail)?;
    let upper = merge.upper(&merged).map_err(fail)?.ok_or(Errno::IO).map_err(fail)?;
    let opaque = upper.is_opaque().map_err(fail)?;
    let itself = LayerEntry::of_upper(upper, None);
    let stat = itself.stat().map_err(fail)?;
    let (to, links) = (Writer::new(writer), HashMap::new());
    let mut packer = Packer { to, merge, policy, latest, links, buffer: vec![0; BUFFER] };
    packer.entry(root, &itself, stat, &itself)?;
    packer.tree(merged, if opaque { Extent::Opaque } else { Extent::Upper })?;
    packer.to.finish()
}

struct Packer<W> {
    to: Writer<W>,
    merge: Merge,
    policy: Policy,
    latest: Option<i64>,
    /// The path of the first packed name of each file with several names, by device and inode number.
    links: HashMap<(u64, u64), PathBuf>,
    buffer: Vec<u8>,
}

/// How much of a directory is packed.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    /// What the upper directory has and hides.
    Upper,
    /// The same, for an opaque directory.
    Opaque,
    /// Everything that the union shows, because the directory was renamed. It is packed as opaque, so that it hides a
    /// lower directory under its new name.
    Renamed,
    /// Everything that the union shows: a directory inside a renamed one.
    Whole,
}

impl Extent {
    fn is_whole(self) -> bool {
        matches!(self, Extent::Renamed | Extent::Whole)
    }
}

/// A directory on the path to the entry that is being packed. It is not open, because a tree can be deeper than the
/// limit of open descriptors.
struct Level {
    dir: MergedDir,
    extent: Extent,
    /// The names still to be packed.
    names: btree_set::IntoIter<NameBuf>,
    hidden: BTreeSet<NameBuf>,
}

impl<W: Write> Packer<W> {
    /// Packs everything below the root. A loop and no recursion, because a tree can be deeper than the stack.
    fn tree(&mut self, root: MergedDir, extent: Extent) -> Result<(), Error> {
        let mut path = PathBuf::new();
        let mut levels = vec![self.enter(root, &path, extent)?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.next() else {
                levels.pop();
                path.pop();
                continue;
            };
            path.push(name.as_os_str());
            match self.named(level, &path, name.as_name())? {
                Some((dir, extent)) => levels.push(self.enter(dir, &path, extent)?),
                None => drop(path.pop()),
            }
        }
        Ok(())
    }

    fn enter(&mut self, dir: MergedDir, path: &Path, extent: Extent) -> Result<Level, Error> {
        if path.as_os_str().len() >= PATH_MAX {
            return Err(fail(path, "list it")(Errno::NAMETOOLONG));
        }
        if matches!(extent, Extent::Opaque | Extent::Renamed) {
            self.whiteout(path.join(OPAQUE))?;
        }
        let hidden = if extent.is_whole() { BTreeSet::new() } else { self.merge.hidden_names(path) };
        let names = match extent.is_whole() {
            true => self.merge.names(&dir),
            false => self.merge.upper_names(&dir).map(|names| &names | &hidden),
        };
        let names = names.map_err(fail(path, "list it"))?.into_iter();
        Ok(Level { dir, extent, names, hidden })
    }

    /// Packs one name. Returns a directory to be entered.
    fn named(&mut self, level: &Level, path: &Path, name: Name<'_>) -> Result<Option<(MergedDir, Extent)>, Error> {
        let fail = fail(path, "read what it is");
        let (dir, whole) = (&level.dir, level.extent.is_whole());
        if !whole && let Some(upper) = self.merge.upper(dir).map_err(fail)? {
            match upper.lookup(name).map_err(fail)? {
                Verdict::Nothing if level.hidden.contains(&name.to_owned()) => {}
                Verdict::Nothing => return Ok(None),
                Verdict::Whiteout => return self.whiteout(whiteout_path(path, name)).map(|()| None),
                Verdict::Entry(_) => {}
            }
        }
        let resolved = self.merge.lookup(dir, name).map_err(fail)?;
        let Some((part, found)) = resolved.is.top() else { return Ok(None) };
        if name.as_bytes().starts_with(WHITEOUT.as_bytes()) {
            return Err(Error::Reserved { path: path.into() });
        }
        let entry = self.merge.part(dir, (part, name)).map_err(fail)?;
        let data = match &resolved.data {
            Some((file, _)) => file.reach(&self.merge).map_err(fail)?,
            None => entry.clone(),
        };
        self.entry(path, &entry, found.stat, &data)?;
        let Resolution::Dir(parts) = &resolved.is else { return Ok(None) };
        let extent = match (part, found) {
            _ if whole => Extent::Whole,
            (Part::Upper, Found { opaque: true, .. }) => Extent::Opaque,
            (Part::Upper, Found { redirect: Some(_), .. }) => Extent::Renamed,
            _ => Extent::Upper,
        };
        Ok(Some((self.merge.child(dir, name, parts), extent)))
    }

    fn whiteout(&mut self, path: PathBuf) -> Result<(), Error> {
        self.to.begin(&Entry::bare(path, Kind::Regular))?;
        self.to.end()
    }

    /// Packs one file, directory or link, with the content of `data`.
    fn entry(&mut self, path: &Path, from: &LayerEntry, stat: Stat, data: &LayerEntry) -> Result<(), Error> {
        let shown = from.shown(self.policy.owners, stat).map_err(fail(path, "read its owner"))?;
        if shown.is_whiteout_device() {
            return Err(Error::WhiteoutDevice { path: path.into() });
        }
        let Some(kind) = kind(&shown) else {
            tracing::warn!(?path, "left out a socket");
            return Ok(());
        };
        let mut entry = Entry::bare(path.into(), kind);
        (entry.perm, entry.uid, entry.gid, entry.mtime) = (shown.perm, shown.uid, shown.gid, shown.mtime);
        if let Some(latest) = self.latest.filter(|latest| entry.mtime.sec >= *latest) {
            entry.mtime = Timestamp { sec: latest, nsec: 0 };
        }
        if kind != Kind::Directory && stat.nlink > 1 {
            if let Some(first) = self.links.get(&(stat.dev, stat.ino)) {
                entry.kind = Kind::HardLink;
                entry.target = first.clone().into();
                self.to.begin(&entry)?;
                return self.to.end();
            }
            self.links.insert((stat.dev, stat.ino), path.into());
        }
        entry.xattrs = xattrs(from, path)?;
        match kind {
            Kind::Regular => {
                let file = data.open().map_err(fail(path, "open it"))?;
                entry.size = stat.size;
                self.to.begin(&entry)?;
                self.to.content_of(&file, &entry, &mut self.buffer)?;
            }
            Kind::Symlink => {
                entry.target = data.read_link().map_err(fail(path, "read the link"))?;
                self.to.begin(&entry)?;
            }
            _ => self.to.begin(&entry)?,
        }
        self.to.end()
    }
}

/// The archive's kind for the file that users see; `None` for a socket, which archives do not have.
pub(super) fn kind(shown: &Stat) -> Option<Kind> {
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

/// The attributes to pack, sorted by name.
fn xattrs(from: &LayerEntry, path: &Path) -> Result<Vec<(OsString, Vec<u8>)>, Error> {
    let fail = fail(path, "read its extended attributes");
    let mut xattrs = Vec::new();
    for key in from.visible_xattrs().map_err(fail)? {
        if attributes::is_of_host(&key) {
            continue;
        }
        if key.as_bytes().contains(&b'=') {
            tracing::warn!(?path, ?key, "left out an extended attribute that no archive can hold");
            continue;
        }
        if let Some(value) = from.xattr(&key).map_err(fail)? {
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
