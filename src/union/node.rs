//! A node: one file or directory of the union, and the location of its content.

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

/// The identity of a file on the host: device and inode number.
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

/// A directory and a name in it: one of the names of a node.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) parent: Arc<Node>,
    pub(super) name: NameBuf,
}

/// Inline room for one name, since nearly every file has only one.
pub(super) type Places = SmallVec<[Place; 1]>;

/// There is one for each file that the kernel knows. To keep it small, parts that most nodes lack are boxed.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) kind: Kind,
    pub(super) state: RwLock<State>,
    /// Held by the one thread that copies the node up.
    pub(super) copying: Mutex<()>,
    protection: Mutex<Protection>,
    /// Low bits: one for each [`Lack`] that is known. High bits: how often the attributes were changed.
    lacks: AtomicU64,
    /// The entries of the directory, while it is being read.
    pub(super) listing: Mutex<Option<Box<Listing>>>,
}

#[derive(Debug)]
pub(super) struct State {
    /// The known names; empty if the node was removed while in use.
    pub(super) places: Places,
    /// The file that has the attributes; after a copy-up, a file of the upper layer.
    pub(super) real: Real,
    /// The lower file that `real` was copied from, if that happened while the node was known.
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
    /// The location of the data, if the lower file has only the attributes.
    pub(super) data: Option<Box<DataBelow>>,
}

/// A file of the upper layer.
#[derive(Debug)]
pub(super) struct UpperContent {
    pub(super) at: Anchor,
    /// The location of the data, if the upper file has only the attributes.
    pub(super) data: Option<Box<DataBelow>>,
}

/// The way to find a file of the upper layer.
#[derive(Clone, Debug)]
pub(super) enum Anchor {
    /// By any of the node's places.
    Place,
    /// In the index: some of its names may exist in lower layers only.
    Index(Arc<Indexed>),
    /// By this descriptor only: its last name was removed.
    Unlinked(Arc<PathFd>),
}

/// The data of a file whose attributes are in another file.
#[derive(Clone, Debug)]
pub(super) struct DataBelow {
    pub(super) file: LowerFile,
    /// The path of the file in the merged lower layers.
    pub(super) path: Box<Path>,
    /// Allocated blocks of 512 bytes, as in `st_blocks`.
    pub(super) blocks: u64,
}

#[derive(Debug)]
pub(super) struct DirContent {
    pub(super) upper: UpperPart,
    /// The lower directories that merge, newest first.
    pub(super) lower: LowerDirs,
    /// The path of the directory in the merged lower layers.
    pub(super) path: Arc<Path>,
    /// The upper part has the impure mark: entries from lower layers were moved into it.
    pub(super) impure: AtomicBool,
    /// All marks and whiteouts in the upper part are in the kernel's format.
    pub(super) adopted: AtomicBool,
    /// Cached for new entries; `None` until the first one, and after a change of the directory's attributes.
    pub(super) inherit: Option<Inherit>,
}

/// The part of a directory that is in the upper layer.
#[derive(Clone, Debug)]
pub(super) enum UpperPart {
    None,
    /// A directory of the upper layer, at the node's place.
    Here,
    /// A removed directory of the upper layer.
    Removed(Arc<LayerDir>),
}

/// What a new entry inherits from its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inherit {
    /// The directory's group, if it has the set-group-id bit.
    pub(super) group: Option<u32>,
    pub(super) default_acl: bool,
}

/// What most files lack. The absence is cached, since it is looked up before each write or copy-up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lack {
    /// `security.capability`.
    Capability = 1,
    /// The set-user-id and the set-group-id bit.
    SetId = 2,
    /// All extended attributes, in the lower layer that has the file.
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

    /// Called for a new node: it has no capability, and a new directory has no foreign whiteouts.
    pub(super) fn note_new(&self) {
        self.lacks.fetch_or(Lack::Capability as u64, Ordering::AcqRel);
        if let Some(dir) = self.state.read().dir() {
            dir.adopted.store(true, Ordering::Release);
        }
    }

    /// Called if the lower file was found without extended attributes.
    pub(super) fn note_bare(&self) {
        self.lacks.fetch_or(Lack::Attributes as u64, Ordering::AcqRel);
    }

    /// Whether the lower file is known to have no extended attributes, so that copy-up need not list them.
    pub(super) fn is_bare(&self) -> bool {
        self.lacks.load(Ordering::Acquire) & Lack::Attributes as u64 != 0
    }

    /// Whether the node lacks `what`. If that is not known, `find` looks; a true result is cached until the attributes
    /// change.
    pub(super) fn lacks(&self, what: Lack, find: impl FnOnce() -> Result<bool>) -> Result<bool> {
        let bit = what as u64;
        let before = self.lacks.load(Ordering::Acquire);
        if before & bit != 0 {
            return Ok(true);
        }
        let lacks = find()?;
        if lacks {
            // Fails if the attributes were changed meanwhile: the result must not be cached then.
            let _ = self.lacks.compare_exchange(before, before | bit, Ordering::AcqRel, Ordering::Relaxed);
        }
        Ok(lacks)
    }

    /// Forgets what is cached after a change of mode or extended attributes.
    pub(super) fn attributes_changed(&self) {
        let next = |known| Some((known | Lack::ALL) + 1);
        let _ = self.lacks.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }

    /// Whether the node is immutable or append-only.
    pub(super) fn protection(&self) -> Protection {
        *self.protection.lock()
    }

    pub(super) fn set_protection(&self, protection: Protection) {
        *self.protection.lock() = protection;
    }

    pub(super) fn is_dir(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Whether the attributes are in the upper layer; the data may still be in a lower one.
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

    /// Whether the node's file is `real`, or was `real` before its copy-up.
    pub(super) fn is(&self, real: Real) -> bool {
        self.real == real || self.was.as_deref() == Some(&real)
    }

    /// The location of the data of a metadata-only file.
    pub(super) fn data_below(&self) -> Option<&DataBelow> {
        match &self.content {
            Content::Dir(_) => None,
            Content::Lower(lower) => lower.data.as_deref(),
            Content::Upper(upper) => upper.data.as_deref(),
        }
    }

    /// The index entry, if the file is found by it.
    pub(super) fn indexed(&self) -> Option<&Arc<Indexed>> {
        match &self.content {
            Content::Upper(UpperContent { at: Anchor::Index(indexed), .. }) => Some(indexed),
            _ => None,
        }
    }

    /// The content of a directory; `None` for any other node.
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
    /// Corrects the `stat` of the file with the attributes where users see other values.
    pub(super) fn adjust(&self, stat: &mut Stat) {
        let merges = self.dir().is_some_and(|dir| dir.lower.len() + usize::from(self.is_upper()) > 1);
        adjust(stat, merges, self.indexed().map(|indexed| &**indexed), self.data_below().map(|data| data.blocks));
        // Removed while in use: the lower layer still counts the name.
        if matches!(self.content, Content::Lower(_)) && self.places.is_empty() {
            stat.nlink = 0;
        }
    }
}

/// Corrects the `stat` of the file with the attributes where users see other values. `blocks` is the count of the file
/// with the data, if that is another one.
pub(super) fn adjust(stat: &mut Stat, merges: bool, indexed: Option<&Indexed>, blocks: Option<u64>) {
    // For find(1), a link count of 1 means that the count does not tell the number of subdirectories.
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

    /// A walk over an image makes a hundred thousand nodes.
    #[test]
    fn a_node_is_small() {
        assert!(size_of::<Node>() <= 152, "{}", size_of::<Node>());
        assert!(size_of::<DirContent>() <= 64, "{}", size_of::<DirContent>());
    }
}
