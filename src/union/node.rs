//! A node: one file or directory of the union, and where its content lives now.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;

use crate::layer::{Indexed, LayerDir, LowerDirs, LowerFile, Protection};
use crate::sys::{Kind, NameBuf, PathFd, Result, Stat};

use super::merge::Listing;

/// The number of a node, which is also the inode number that users see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The root of the union.
    pub const ROOT: NodeId = NodeId(1);
}

/// What identifies a file on the host: device and inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Real {
    pub(super) dev: u64,
    pub(super) ino: u64,
}

impl Real {
    pub(super) fn of(stat: &Stat) -> Real {
        Real { dev: stat.dev, ino: stat.ino }
    }
}

/// One name of a node, and the directory that has it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) parent: Arc<Node>,
    pub(super) name: NameBuf,
}

/// Nearly every file has one name.
pub(super) type Places = SmallVec<[Place; 1]>;

/// There is one of these for each file that the kernel knows: what most do not need is boxed.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) kind: Kind,
    pub(super) state: RwLock<State>,
    /// Held by the one thread that copies the node up.
    pub(super) copying: Mutex<()>,
    protection: Mutex<Protection>,
    /// What it is known to lack, by a bit for each [`Lack`]; above these, how often its attributes were changed.
    lacks: AtomicU64,
    /// What the directory lists, while somebody is reading it.
    pub(super) listing: Mutex<Option<Box<Listing>>>,
}

#[derive(Debug)]
pub(super) struct State {
    /// The names that are known; none when the node was removed while in use.
    pub(super) places: Places,
    /// The file that the attributes are in: of the upper layer after a copy-up.
    pub(super) real: Real,
    /// The file below from which that was copied since the node is known.
    pub(super) was: Option<Box<Real>>,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Dir(Box<DirContent>),
    Lower(LowerContent),
    Upper(UpperContent),
}

/// A file of a lower layer.
#[derive(Debug)]
pub(super) struct LowerContent {
    pub(super) file: LowerFile,
    /// The layer has only the attributes.
    pub(super) data: Option<Box<DataBelow>>,
}

/// A file of the upper layer.
#[derive(Debug)]
pub(super) struct UpperContent {
    pub(super) at: Anchor,
    /// Only the attributes are in the upper layer.
    pub(super) data: Option<Box<DataBelow>>,
}

/// By what a file of the upper layer is found.
#[derive(Clone, Debug)]
pub(super) enum Anchor {
    /// Any of the node's places.
    Place,
    /// The index, since some of its places may have a name below only.
    Index(Arc<Indexed>),
    /// Nothing: its last name is gone.
    Unlinked(Arc<PathFd>),
}

/// The data of a file that has its attributes elsewhere.
#[derive(Clone, Debug)]
pub(super) struct DataBelow {
    pub(super) file: LowerFile,
    /// By which the layers below together know the file.
    pub(super) path: Box<Path>,
    /// As `st_blocks` counts them.
    pub(super) blocks: u64,
}

#[derive(Debug)]
pub(super) struct DirContent {
    pub(super) upper: UpperPart,
    /// The lower directories that merge, newest first.
    pub(super) lower: LowerDirs,
    /// By which the layers below together know what merges here.
    pub(super) path: Arc<Path>,
    /// The upper part has entries that came from below, other than by the names that `lower` has.
    pub(super) impure: AtomicBool,
    /// The upper part holds nothing of other formats than the kernel's.
    pub(super) adopted: AtomicBool,
    /// What new entries take over from the directory; unset until asked, and after each change of it.
    pub(super) inherit: Option<Inherit>,
}

/// The upper layer's part in a directory.
#[derive(Clone, Debug)]
pub(super) enum UpperPart {
    None,
    /// A directory of the upper layer, at the node's place.
    Here,
    /// As `Here`, but removed.
    Removed(Arc<LayerDir>),
}

/// What a new entry takes over from its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inherit {
    /// The group, where the set-group-id bit says so.
    pub(super) group: Option<u32>,
    pub(super) default_acl: bool,
}

/// What most files lack, and what is asked about before each write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lack {
    /// `security.capability`.
    Capability = 1,
    /// The set-user-id and the set-group-id bit.
    SetId = 2,
    /// Any extended attribute, in the layer below that has it.
    Attributes = 4,
}

impl Lack {
    const ALL: u64 = 7;
}

impl Node {
    pub(super) fn new(id: NodeId, kind: Kind, real: Real, places: Places, content: Content) -> Node {
        let state = RwLock::new(State { places, real, was: None, content });
        let (copying, protection, listing) = (Mutex::new(()), Mutex::default(), Mutex::new(None));
        Node { id, kind, state, copying, protection, lacks: AtomicU64::new(0), listing }
    }

    /// After it was made: nobody has put anything into it, or on it.
    pub(super) fn note_new(&self) {
        self.lacks.fetch_or(Lack::Capability as u64, Ordering::AcqRel);
        if let Some(dir) = self.state.read().dir() {
            dir.adopted.store(true, Ordering::Release);
        }
    }

    /// After it was found in a layer below without any extended attribute.
    pub(super) fn note_bare(&self) {
        self.lacks.fetch_or(Lack::Attributes as u64, Ordering::AcqRel);
    }

    /// Whether the file below, from which the node is to be copied up, is known to have no extended attribute.
    pub(super) fn is_bare(&self) -> bool {
        self.lacks.load(Ordering::Acquire) & Lack::Attributes as u64 != 0
    }

    /// Whether the node is known to lack `what`, or `find` says so now. What it says once holds until the attributes change.
    pub(super) fn lacks(&self, what: Lack, find: impl FnOnce() -> Result<bool>) -> Result<bool> {
        let bit = what as u64;
        let before = self.lacks.load(Ordering::Acquire);
        if before & bit != 0 {
            return Ok(true);
        }
        let lacks = find()?;
        if lacks {
            // In vain when they were changed meanwhile: then it is not known.
            let _ = self.lacks.compare_exchange(before, before | bit, Ordering::AcqRel, Ordering::Relaxed);
        }
        Ok(lacks)
    }

    /// After a change of its mode or extended attributes.
    pub(super) fn attributes_changed(&self) {
        let next = |known| Some((known | Lack::ALL) + 1);
        let _ = self.lacks.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }

    /// What nobody may do to it.
    pub(super) fn protection(&self) -> Protection {
        *self.protection.lock()
    }

    pub(super) fn set_protection(&self, protection: Protection) {
        *self.protection.lock() = protection;
    }

    pub(super) fn is_dir(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Whether the attributes are in the upper layer, and so may the data be.
    pub(super) fn is_upper(&self) -> bool {
        self.state.read().is_upper()
    }
}

impl State {
    pub(super) fn is_upper(&self) -> bool {
        match &self.content {
            Content::Dir(dir) => !matches!(dir.upper, UpperPart::None),
            Content::Lower(_) => false,
            Content::Upper(_) => true,
        }
    }

    /// Whether this is the file `real`, or was before it was copied up.
    pub(super) fn is(&self, real: Real) -> bool {
        self.real == real || self.was.as_deref() == Some(&real)
    }

    /// Where the data is, of a file that has its attributes elsewhere.
    pub(super) fn data_below(&self) -> Option<&DataBelow> {
        match &self.content {
            Content::Dir(_) => None,
            Content::Lower(lower) => lower.data.as_deref(),
            Content::Upper(upper) => upper.data.as_deref(),
        }
    }

    /// The entry of the index, of a file that has several names below.
    pub(super) fn indexed(&self) -> Option<&Arc<Indexed>> {
        match &self.content {
            Content::Upper(UpperContent { at: Anchor::Index(indexed), .. }) => Some(indexed),
            _ => None,
        }
    }

    /// The directory's content; `None` for what is no directory.
    pub(super) fn dir(&self) -> Option<&DirContent> {
        match &self.content {
            Content::Dir(dir) => Some(dir),
            _ => None,
        }
    }

    pub(super) fn dir_mut(&mut self) -> Option<&mut DirContent> {
        match &mut self.content {
            Content::Dir(dir) => Some(dir),
            _ => None,
        }
    }
}

impl State {
    /// What `stat` shows otherwise than the file that holds the attributes; `blocks` are those of data that is elsewhere.
    pub(super) fn adjust(&self, stat: &mut Stat) {
        let merges = self.dir().is_some_and(|dir| dir.lower.len() + usize::from(self.is_upper()) > 1);
        adjust(stat, merges, self.indexed().map(|indexed| &**indexed), self.data_below().map(|data| data.blocks));
        // Removed while in use: the layer that has it knows nothing of that.
        if matches!(self.content, Content::Lower(_)) && self.places.is_empty() {
            stat.nlink = 0;
        }
    }
}

/// What `stat` shows otherwise than the file that holds the attributes; `blocks` are those of data that is elsewhere.
pub(super) fn adjust(stat: &mut Stat, merges: bool, indexed: Option<&Indexed>, blocks: Option<u64>) {
    // find(1) takes a count of 1 to mean that the count says nothing of subdirectories.
    if merges {
        stat.nlink = 1;
    }
    if let Some(indexed) = indexed {
        stat.nlink = indexed.links(stat.nlink);
    }
    if let Some(blocks) = blocks {
        stat.blocks = blocks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A walk over an image makes a hundred thousand of them.
    #[test]
    fn a_node_is_small() {
        assert!(size_of::<Node>() <= 152, "{}", size_of::<Node>());
        assert!(size_of::<DirContent>() <= 64, "{}", size_of::<DirContent>());
    }
}
