//! Where the content of a node lives now, as something to make system calls on.

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

/// The topmost file or directory that a node's attributes and data come from.
#[derive(Clone, Debug)]
pub(super) enum At {
    Lower(LayerEntry),
    Upper(UpperAt),
}

/// A file or directory of the upper layer, which alone can be changed.
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

    /// What users see of it, where the kernel says `stat`.
    pub(super) fn shown(&self, owners: Owners, stat: Stat) -> Result<Stat> {
        match self {
            At::Lower(entry) => entry.shown(owners, stat),
            At::Upper(at) => owners.stat(at.of(), stat),
        }
    }

    /// Opens a file for reading, and leaves the time of its last access as it is.
    pub(super) fn open_quietly(&self) -> Result<File> {
        match self {
            At::Lower(entry) => entry.open(),
            At::Upper(UpperAt::Name(dir, name)) => dir.open_file_quietly(name.as_os_str(), OFlags::RDONLY),
            At::Upper(UpperAt::Dir(_)) => Err(Errno::ISDIR),
            At::Upper(UpperAt::Fd(fd)) => fd.open_quietly(OFlags::RDONLY),
        }
    }

    /// Target of a symbolic link.
    pub(super) fn read_link(&self) -> Result<OsString> {
        match self {
            At::Lower(entry) => entry.read_link(),
            At::Upper(UpperAt::Name(dir, name)) => dir.read_link(name.as_name()),
            At::Upper(other) => other.path_fd()?.read_link(),
        }
    }

    /// The attribute called `key` on disk.
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

    /// All attributes on disk.
    pub(super) fn xattrs(&self) -> Result<Vec<OsString>> {
        match self {
            At::Lower(entry) => entry.xattrs(),
            At::Upper(at) => xattr::list(at.of()),
        }
    }

    /// Those of the file's own, as they are called on disk.
    pub(super) fn own_xattrs(&self, policy: Policy) -> Result<Vec<OsString>> {
        match self {
            At::Lower(entry) => entry.own_xattrs(policy),
            At::Upper(at) => policy.own_xattrs(at.of()),
        }
    }

    /// # Errors
    /// `EROFS` for what is below.
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

    /// Opens a file; a directory is no file.
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

/// As the stack has them, with descriptors that stay open.
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
    /// One file of one lower layer.
    pub(super) fn lower_at(&self, file: &LowerFile) -> Result<At> {
        file.reach(self).map(At::Lower)
    }

    /// The descriptor of a directory's part in the upper layer, where it has one. Takes no lock on return,
    /// and none of a parent while it holds one of a child.
    pub(super) fn upper_fd(&self, node: &Node) -> Result<Option<Arc<LayerDir>>> {
        // A loop, since a tree can be deeper than the stack: the directories that must be opened first, deepest first.
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
                // Moved while its parents were opened: they are others now.
                Err(Errno::STALE | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if moved_from(here, &place) => {
                    closed.clear();
                    parent = None;
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// A directory's state, unchanging while the answer lives, with the descriptor of its upper part.
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

    /// Runs `act` where the attributes of `node` are, and if they are not all that was copied up, its data.
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

    /// As [`at`](Self::at), where `node` is in the upper layer.
    pub(super) fn at_upper<T>(&self, node: &Node, act: impl FnOnce(&UpperAt) -> Result<T>) -> Result<T> {
        self.at(node, |at| act(at.upper()?))
    }

    /// What users shall see of what is there, where the kernel says `stat`.
    pub(super) fn shown(&self, at: &At, stat: Stat) -> Result<Stat> {
        Ok(self.squashed(at.shown(self.stack.owners, stat)?))
    }

    pub(super) fn squashed(&self, stat: Stat) -> Stat {
        match self.squash {
            Some(Owner { uid, gid }) => Stat { uid, gid, ..stat },
            None => stat,
        }
    }

    /// What the table of contents of its layer says of a file or directory that is below only; `None` where the layer
    /// has to be asked.
    pub(super) fn record(&self, node: &Node) -> Option<Record> {
        let state = node.state.read();
        match &state.content {
            Content::Dir(dir) if matches!(dir.upper, UpperPart::None) => dir.lower.first()?.record(),
            Content::Lower(lower) => lower.file.record(),
            Content::Dir(_) | Content::Upper(_) => None,
        }
    }

    /// The node that the kernel means by `id`.
    pub(super) fn node(&self, id: NodeId) -> Result<Arc<Node>> {
        self.table.get(id)
    }

    /// The node of a directory.
    pub(super) fn dir_node(&self, id: NodeId) -> Result<Arc<Node>> {
        let node = self.table.get(id)?;
        if node.is_dir() { Ok(node) } else { Err(Errno::NOTDIR) }
    }
}

/// Another directory may have been given the name between two steps.
fn open_child(parent: &LayerDir, place: &Place, real: Real) -> Result<LayerDir> {
    let dir = parent.open_dir(place.name.as_os_str())?;
    if Real::of(&dir.stat_self()?) == real { Ok(dir) } else { Err(Errno::STALE) }
}

/// What was found out before it was closed.
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
