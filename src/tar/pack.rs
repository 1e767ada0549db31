//! An upper directory into an OCI layer: what it changes, and nothing of how overlay notes that.
//!
//! Parents come before their children and names in the order of their bytes, so that one tree always
//! makes one archive. Marks are decoded; an attribute private to a union file system never leaves.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::entry::{Entry, Kind};
use super::merged::{Lower, Merged, Over};
use super::path::{OPAQUE, PATH_MAX, WHITEOUT};
use super::writer::Writer;
use super::{Error, attributes};
use crate::layer::marks::visible_xattrs;
use crate::layer::{Found, Layers, Part, Policy, Resolution, Seen};
use crate::sys::xattr::{self, Of};
use crate::sys::{self, Dir, Errno, File, Name, OFlags, Stat, device_major, device_minor};

const BUFFER: usize = 128 << 10;

/// Packs what an upper directory, which nobody may change meanwhile, says over the layers below it, and answers
/// `writer`, flushed.
///
/// Owners and kinds are those that `policy` shows users. Names of one file become hard links. What only refers to
/// a lower layer is packed whole: the data of a file of which only the attributes were copied up, and all that is in a
/// directory that was renamed. Sockets, which no archive can hold, are left out.
///
/// # Errors
/// `Reserved` and `WhiteoutDevice` for a name and a device that mean a whiteout in a layer; else the first error of reading, with the path, or of writing.
pub fn pack<W: Write>(over: Over<'_>, policy: Policy, writer: W) -> Result<W, Error> {
    let root = Path::new(".");
    let fail = fail(root, "read its attributes");
    let upper = over.upper;
    let lower = Lower::new(over, policy).map_err(fail)?;
    let merged = lower.root_under(upper).map_err(fail)?;
    let stat = upper.stat_self().map_err(fail)?;
    let opaque = merged.upper.as_ref().map_or(Ok(false), |upper| upper.is_opaque()).map_err(fail)?;
    let (to, links) = (Writer::new(writer), HashMap::new());
    let mut packer = Packer { to, lower, policy, links, buffer: vec![0; BUFFER] };
    packer.entry(root, Of::fd(upper), stat, Content::None)?;
    packer.children(&merged, Path::new(""), if opaque { Extent::Opaque } else { Extent::Upper })?;
    packer.to.finish()
}

struct Packer<W> {
    to: Writer<W>,
    lower: Lower,
    policy: Policy,
    /// Where the first name of each file with several is.
    links: HashMap<(u64, u64), PathBuf>,
    buffer: Vec<u8>,
}

/// How much of a directory belongs into the layer.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    /// What the upper directory says.
    Upper,
    /// The same, and nothing is below it.
    Opaque,
    /// All that the union shows: it was renamed. Nothing that is below under the new name shows.
    Renamed,
    /// All that the union shows, in such a directory.
    Whole,
}

/// Where the rest of an entry is read.
enum Content<'a> {
    None,
    In(&'a Dir, Name<'a>),
}

impl<W: Write> Packer<W> {
    fn children(&mut self, dir: &Merged, path: &Path, extent: Extent) -> Result<(), Error> {
        // Deeper than any tool could unpack it.
        if path.as_os_str().len() >= PATH_MAX {
            return Err(fail(path, "list it")(Errno::NAMETOOLONG));
        }
        if matches!(extent, Extent::Opaque | Extent::Renamed) {
            self.whiteout(path.join(OPAQUE))?;
        }
        let whole = matches!(extent, Extent::Renamed | Extent::Whole);
        let hidden = if whole { BTreeSet::new() } else { self.lower.hidden_names(path) };
        let names = if whole { self.lower.names(dir) } else { dir.upper_names().map(|names| &names | &hidden) };
        for name in &names.map_err(fail(path, "list it"))? {
            let (path, name) = (path.join(name.as_os_str()), name.as_name());
            let fail = fail(&path, "read what it is");
            if let (false, Some(upper)) = (whole, &dir.upper) {
                match upper.see(name).map_err(fail)? {
                    Seen::Nothing if hidden.contains(&name.to_owned()) => {}
                    Seen::Nothing => continue,
                    Seen::Whiteout => {
                        self.whiteout(whiteout_path(&path, name))?;
                        continue;
                    }
                    Seen::Entry(_) => {}
                }
            }
            let look = self.lower.look(dir, name).map_err(fail)?;
            let Some(top) = look.is.top() else { continue };
            if name.as_bytes().starts_with(WHITEOUT.as_bytes()) {
                return Err(Error::Reserved { path });
            }
            let at = self.lower.part(dir, (top.0, name)).map_err(fail)?;
            let data = match &look.data {
                Some((file, _)) => Some((self.lower.open(&file.dir).map_err(fail)?, file.name.as_name())),
                None => None,
            };
            let content = match &data {
                Some((dir, name)) => Content::In(dir, *name),
                None => Content::In(&at.0, at.1.as_name()),
            };
            self.entry(&path, Of::Name(&at.0, at.1.as_name()), top.1.stat, content)?;
            if let Resolution::Dir(parts) = &look.is {
                let child = self.lower.child(dir, name, parts).map_err(fail)?;
                let extent = match top {
                    _ if whole => Extent::Whole,
                    (Part::Upper, Found { opaque: true, .. }) => Extent::Opaque,
                    (Part::Upper, Found { redirect: Some(_), .. }) => Extent::Renamed,
                    _ => Extent::Upper,
                };
                self.children(&child, &path, extent)?;
            }
        }
        Ok(())
    }

    fn whiteout(&mut self, path: PathBuf) -> Result<(), Error> {
        self.to.begin(&Entry::bare(path, Kind::Regular))?;
        self.to.end()
    }

    /// One file, directory or link.
    fn entry(&mut self, path: &Path, of: Of<'_>, stat: Stat, content: Content<'_>) -> Result<(), Error> {
        let shown = self.policy.owners.stat(of, stat).map_err(fail(path, "read its owner"))?;
        if shown.is_whiteout_device() {
            return Err(Error::WhiteoutDevice { path: path.into() });
        }
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
        match (kind, content) {
            (Kind::Regular, Content::In(dir, name)) => {
                let file = dir.open_file(name.as_os_str(), OFlags::RDONLY, 0).map_err(fail(path, "open it"))?;
                entry.size = stat.size;
                self.to.begin(&entry)?;
                self.content(&file, &entry)?;
            }
            (Kind::Symlink, Content::In(dir, name)) => {
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
