//! The file or directory on disk that holds the content of a node now, and the system calls on it.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLockReadGuard;

use crate::layer::toc::Record;
use crate::layer::{
    Found, LayerDir, LayerEntry, Layers, LowerDir, LowerFile, LowerLayer, Namespace, OpenLowerDir, Owners, Part,
    Policy, Verdict,
};
use crate::sys::xattr::{self, Of};
use crate::sys::{self, Errno, File, NameBuf, OFlags, PathFd, Result, SetTime, Stat, Timestamp};

use super::node::{Anchor, Content, Node, NodeId, Place, Real, State, UpperPart};
use super::{Owner, Union};

/// The topmost file or directory of a node: it has the attributes and, unless it is metadata-only, the data.
#[derive(Clone, Debug)]
pub(super) enum At {
    Lower(LayerEntry),
    Upper(UpperAt),
}

/// A file or directory of the upper layer, the only layer that changes.
#[derive(Clone, Debug)]
pub(super) enum UpperAt {
    Name(Arc<LayerDir>, NameBuf),
    Dir(Arc<LayerDir>),
    Fd(Arc<PathFd>),
}

impl At {
    pub(super) fn stat(&self) -> Result<Stat> {
        match self {
            At::Lower(entry) => entry.stat(),
            At::Upper(at) => at.stat(),
        }
    }

    /// When it was made, where its file system knows.
    pub(super) fn birth_time(&self) -> Result<Option<Timestamp>> {
        match self {
            At::Lower(entry) => entry.birth_time(),
            At::Upper(at) => sys::birth_time(at.of()),
        }
    }

    /// The `stat` that users see, made from the `stat` on disk.
    pub(super) fn shown(&self, owners: Owners, stat: Stat) -> Result<Stat> {
        match self {
            At::Lower(entry) => entry.shown(owners, stat),
            At::Upper(at) => owners.stat(at.of(), stat),
        }
    }

    /// Opens a file for reading without moving its access time.
    pub(super) fn open_quietly(&self) -> Result<File> {
        match self {
            At::Lower(entry) => entry.open(),
            At::Upper(UpperAt::Name(dir, name)) => dir.open_file_quietly(name.as_os_str(), OFlags::RDONLY),
            At::Upper(UpperAt::Dir(_)) => Err(Errno::ISDIR),
            At::Upper(UpperAt::Fd(fd)) => fd.open_quietly(OFlags::RDONLY),
        }
    }

    /// The target of a symbolic link.
    pub(super) fn read_link(&self) -> Result<OsString> {
        match self {
            At::Lower(entry) => entry.read_link(),
            At::Upper(UpperAt::Name(dir, name)) => dir.read_link(name.as_name()),
            At::Upper(other) => other.path_fd()?.read_link(),
        }
    }

    /// The extended attribute `key` as on disk; `None` where there is none or the file system has none.
    pub(super) fn xattr(&self, key: &OsStr) -> Result<Option<Vec<u8>>> {
        match self {
            At::Lower(entry) => entry.xattr(key),
            At::Upper(at) => xattr::get(at.of(), key),
        }
    }

    pub(super) fn xattr_strict(&self, key: &OsStr) -> Result<Vec<u8>> {
        match self {
            At::Lower(entry) => entry.xattr_strict(key),
            At::Upper(at) => xattr::get_strict(at.of(), key),
        }
    }

    /// The names of all extended attributes on disk.
    pub(super) fn xattrs(&self) -> Result<Vec<OsString>> {
        match self {
            At::Lower(entry) => entry.xattrs(),
            At::Upper(at) => xattr::list(at.of()),
        }
    }

    /// The names on disk of the extended attributes that are not marks.
    pub(super) fn own_xattrs(&self, policy: Policy) -> Result<Vec<OsString>> {
        match self {
            At::Lower(entry) => entry.own_xattrs(policy),
            At::Upper(at) => policy.own_xattrs(at.of()),
        }
    }

    /// # Errors
    /// `EROFS` for an entry of a lower layer.
    pub(super) fn upper(&self) -> Result<&UpperAt> {
        match self {
            At::Lower(_) => Err(Errno::ROFS),
            At::Upper(at) => Ok(at),
        }
    }
}

impl UpperAt {
    pub(super) fn of(&self) -> Of<'_> {
        match self {
            UpperAt::Name(dir, name) => Of::Name(dir, name.as_name()),
            UpperAt::Dir(dir) => Of::Dir(dir),
            UpperAt::Fd(fd) => Of::fd(&**fd),
        }
    }

    pub(super) fn stat(&self) -> Result<Stat> {
        match self {
            UpperAt::Name(dir, name) => dir.stat(name.as_name()),
            UpperAt::Dir(dir) => dir.stat_self(),
            UpperAt::Fd(fd) => fd.stat(),
        }
    }

    /// Opens a file; `EISDIR` for a directory.
    pub(super) fn open(&self, flags: OFlags) -> Result<File> {
        match self {
            UpperAt::Name(dir, name) => dir.open_file(name.as_os_str(), flags, 0),
            UpperAt::Dir(_) => Err(Errno::ISDIR),
            UpperAt::Fd(fd) => fd.open(flags),
        }
    }

    pub(super) fn set_perm(&self, perm: u32) -> Result<()> {
        match self {
            UpperAt::Name(dir, name) => dir.set_perm(name.as_name(), perm),
            UpperAt::Dir(dir) => dir.set_own_perm(perm),
            UpperAt::Fd(fd) => fd.set_perm(perm),
        }
    }

    pub(super) fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        match self {
            UpperAt::Name(dir, name) => dir.set_owner(name.as_name(), uid, gid),
            UpperAt::Dir(dir) => dir.set_own_owner(uid, gid),
            UpperAt::Fd(fd) => fd.set_owner(uid, gid),
        }
    }

    pub(super) fn set_times(&self, atime: SetTime, mtime: SetTime) -> Result<()> {
        match self {
            UpperAt::Name(dir, name) => dir.set_times(name.as_name(), atime, mtime),
            UpperAt::Dir(dir) => dir.set_own_times(atime, mtime),
            UpperAt::Fd(fd) => fd.set_times(atime, mtime),
        }
    }

    pub(super) fn path_fd(&self) -> Result<Arc<PathFd>> {
        match self {
            UpperAt::Name(dir, name) => dir.open_path(name.as_os_str()).map(Arc::new),
            UpperAt::Dir(dir) => dir.to_path_fd().map(Arc::new),
            UpperAt::Fd(fd) => Ok(fd.clone()),
        }
    }
}

/// The layers of the stack, with cached descriptors of directories.
impl Layers for Union {
    fn count(&self) -> usize {
        self.stack.count()
    }

    fn data_only(&self) -> usize {
        self.stack.data_only()
    }

    fn layer(&self, which: usize) -> Result<&LowerLayer> {
        self.stack.layer(which)
    }

    fn open(&self, dir: &LowerDir) -> Result<Arc<OpenLowerDir>> {
        self.descriptors.lower_dir(dir.serial(), || dir.open(self))
    }

    fn namespace(&self) -> Namespace {
        self.stack.namespace()
    }

    fn follows_redirects(&self) -> bool {
        self.stack.follows_redirects()
    }

    fn copy_of(&self, _: &LowerFile, found: &Found) -> Result<Option<(Part, Found)>> {
        let Some(index) = &self.index else { return Ok(None) };
        let number = self.table.id_of(Real::of(&found.stat)).0;
        let Some(indexed) = index.of_number(number) else { return Ok(None) };
        match index.dir()?.lookup(indexed.name.as_name())? {
            Verdict::Entry(copy) => Ok(Some((Part::Index(indexed), copy))),
            Verdict::Nothing | Verdict::Whiteout => Ok(None),
        }
    }
}

impl Union {
    /// The location of a lower file.
    pub(super) fn lower_at(&self, file: &LowerFile) -> Result<At> {
        file.reach(self).map(At::Lower)
    }

    /// The descriptor of a directory's part in the upper layer, if it has one. Returns with no lock held, and takes
    /// no lock of a parent while it holds that of a child.
    pub(super) fn upper_fd(&self, node: &Node) -> Result<Option<Arc<LayerDir>>> {
        // A loop, since recursion in a deep tree could overflow the stack. `closed` has the directories that must be
        // opened first, deepest first.
        let mut closed: Vec<Arc<Node>> = Vec::new();
        let mut parent: Option<(NodeId, Arc<LayerDir>)> = None;
        loop {
            let here = closed.last().map_or(node, |above| above);
            let (real, place, adopted) = {
                let state = here.state.read();
                let content = state.dir().ok_or(Errno::NOTDIR)?;
                match &content.upper {
                    UpperPart::None if closed.is_empty() => return Ok(None),
                    UpperPart::None => return Err(Errno::STALE),
                    UpperPart::Removed(dir) if closed.is_empty() => return Ok(Some(dir.clone())),
                    UpperPart::Removed(dir) => {
                        parent = Some((here.id, dir.clone()));
                        drop(state);
                        closed.pop();
                        continue;
                    }
                    UpperPart::Here => {
                        (state.real, state.places.first().cloned(), content.adopted.load(Ordering::Acquire))
                    }
                }
            };
            let opened = match (self.descriptors.open_upper_dir(here.id), &place, &parent) {
                (Some(open), ..) => Ok(open),
                (None, None, _) => {
                    self.descriptors.upper_dir(here.id, || Ok(known(self.upper()?.root().open_dir(".")?, adopted)))
                }
                (None, Some(place), Some((id, dir))) if *id == place.parent.id => {
                    self.descriptors.upper_dir(here.id, || Ok(known(open_child(dir, place, real)?, adopted)))
                }
                (None, Some(place), _) => {
                    let above = place.parent.clone();
                    closed.push(above);
                    continue;
                }
            };
            match opened {
                Ok(dir) if closed.is_empty() => return Ok(Some(dir)),
                Ok(dir) => {
                    parent = Some((here.id, dir));
                    closed.pop();
                }
                // A rename moved it while its parents were opened: start again with the new ones.
                Err(Errno::STALE | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if moved_from(here, &place) => {
                    closed.clear();
                    parent = None;
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// The read-locked state of a directory, and the descriptor of its upper part.
    pub(super) fn read_dir_state<'n>(
        &self,
        node: &'n Node,
    ) -> Result<(RwLockReadGuard<'n, State>, Option<Arc<LayerDir>>)> {
        loop {
            let upper = self.upper_fd(node)?;
            let state = node.state.read();
            if state.is_upper() == upper.is_some() {
                return Ok((state, upper));
            }
        }
    }

    /// Runs `act` on the location of the attributes of `node`. Unless the file is metadata-only, it has the data too.
    pub(super) fn at<T>(&self, node: &Node, act: impl FnOnce(&At) -> Result<T>) -> Result<T> {
        loop {
            let state = node.state.read();
            let place = match &state.content {
                Content::Dir(content) => {
                    let lower = content.lower.first();
                    drop(state);
                    let top = match self.upper_fd(node)? {
                        Some(upper) => At::Upper(UpperAt::Dir(upper)),
                        None => At::Lower(lower.ok_or(Errno::STALE)?.reach(self)?),
                    };
                    return act(&top);
                }
                Content::Lower(lower) => {
                    let file = lower.file.clone();
                    drop(state);
                    return act(&self.lower_at(&file)?);
                }
                Content::Upper(upper) => match &upper.at {
                    Anchor::Unlinked(fd) => return act(&At::Upper(UpperAt::Fd(fd.clone()))),
                    Anchor::Index(indexed) => {
                        return act(&At::Upper(UpperAt::Name(self.index()?.dir()?, indexed.name.clone())));
                    }
                    Anchor::Place => state.places.first().ok_or(Errno::STALE)?.clone(),
                },
            };
            drop(state);
            let parent = self.upper_fd(&place.parent)?.ok_or(Errno::STALE)?;
            let state = node.state.read();
            let placed = matches!(&state.content, Content::Upper(upper) if matches!(upper.at, Anchor::Place));
            if placed && is_first_place(&state, &place) {
                return act(&At::Upper(UpperAt::Name(parent, place.name)));
            }
        }
    }

    /// As [`at`](Self::at), for a node in the upper layer; `EROFS` for any other.
    pub(super) fn at_upper<T>(&self, node: &Node, act: impl FnOnce(&UpperAt) -> Result<T>) -> Result<T> {
        self.at(node, |at| act(at.upper()?))
    }

    /// The `stat` that users see, made from the `stat` on disk.
    pub(super) fn shown(&self, at: &At, stat: Stat) -> Result<Stat> {
        Ok(self.squashed(at.shown(self.stack.owners, stat)?))
    }

    pub(super) fn squashed(&self, stat: Stat) -> Stat {
        match self.squash {
            Some(Owner { uid, gid }) => Stat { uid, gid, ..stat },
            None => stat,
        }
    }

    /// The record of a lower file or directory in the table of contents of its layer. `None` for nodes of the upper
    /// layer and for layers without a table.
    pub(super) fn record(&self, node: &Node) -> Option<Record> {
        let state = node.state.read();
        match &state.content {
            Content::Dir(dir) if matches!(dir.upper, UpperPart::None) => dir.lower.first()?.record(),
            Content::Lower(lower) => lower.file.record(),
            Content::Dir(_) | Content::Upper(_) => None,
        }
    }

    /// The node with number `id`.
    pub(super) fn node(&self, id: NodeId) -> Result<Arc<Node>> {
        self.table.get(id)
    }

    /// The directory with number `id`; `ENOTDIR` for any other node.
    pub(super) fn dir_node(&self, id: NodeId) -> Result<Arc<Node>> {
        let node = self.table.get(id)?;
        if node.is_dir() { Ok(node) } else { Err(Errno::NOTDIR) }
    }
}

/// Opens a child directory and checks that it is `real`: a rename may have given the name to another directory.
fn open_child(parent: &LayerDir, place: &Place, real: Real) -> Result<LayerDir> {
    let dir = parent.open_dir(place.name.as_os_str())?;
    if Real::of(&dir.stat_self()?) == real { Ok(dir) } else { Err(Errno::STALE) }
}

/// Restores on a newly opened directory that it was adopted before.
fn known(dir: LayerDir, adopted: bool) -> LayerDir {
    if adopted { dir.adopted() } else { dir }
}

fn is_first_place(state: &State, place: &Place) -> bool {
    state.places.first().is_some_and(|now| Arc::ptr_eq(&now.parent, &place.parent) && now.name == place.name)
}

fn moved_from(node: &Node, place: &Option<Place>) -> bool {
    let state = node.state.read();
    match place {
        None => false,
        Some(place) => {
            !is_first_place(&state, place) || !matches!(state.dir(), Some(dir) if matches!(dir.upper, UpperPart::Here))
        }
    }
}
