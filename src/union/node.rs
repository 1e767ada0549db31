//! A node: one file or directory of the union, and where its content lives now.

use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::sys::{Dir, Kind, NameBuf, PathFd};

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

/// One directory of one lower layer. Lower layers never change, so its path is good for ever.
#[derive(Debug)]
pub(super) struct LowerDir {
    pub(super) layer: usize,
    /// Relative to the layer; `.` is the layer itself.
    pub(super) path: Box<Path>,
    /// Names this directory in the descriptor cache.
    pub(super) serial: u64,
}

/// One name of a node, and the directory that has it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) parent: Arc<Node>,
    pub(super) name: NameBuf,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) kind: Kind,
    pub(super) state: RwLock<State>,
    /// Held by the one thread that copies the node up.
    pub(super) copying: Mutex<()>,
    /// What the directory lists, while somebody is reading it.
    pub(super) listing: Mutex<Option<Listing>>,
}

#[derive(Debug)]
pub(super) struct State {
    /// The names that are known; none when the node was removed while in use.
    pub(super) places: Vec<Place>,
    /// The file that the content is in: of the upper layer after a copy-up.
    pub(super) real: Real,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Dir(DirContent),
    /// A file below, under this name of that directory.
    Lower {
        dir: Arc<LowerDir>,
        name: NameBuf,
    },
    /// A file of the upper layer, under any of the node's places.
    Upper,
    /// A file of the upper layer whose last known name is gone.
    Unlinked(Arc<PathFd>),
}

#[derive(Debug)]
pub(super) struct DirContent {
    pub(super) upper: UpperPart,
    /// The lower directories that merge, newest first.
    pub(super) lower: Vec<Arc<LowerDir>>,
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
    Removed(Arc<Dir>),
}

/// What a new entry takes over from its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inherit {
    /// The group, where the set-group-id bit says so.
    pub(super) group: Option<u32>,
    pub(super) default_acl: bool,
}

impl Node {
    pub(super) fn new(id: NodeId, kind: Kind, state: State) -> Node {
        Node { id, kind, state: RwLock::new(state), copying: Mutex::new(()), listing: Mutex::new(None) }
    }

    pub(super) fn is_dir(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Whether the content is in the upper layer.
    pub(super) fn is_upper(&self) -> bool {
        self.state.read().is_upper()
    }
}

impl State {
    pub(super) fn is_upper(&self) -> bool {
        match &self.content {
            Content::Dir(dir) => !matches!(dir.upper, UpperPart::None),
            Content::Lower { .. } => false,
            Content::Upper | Content::Unlinked(_) => true,
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
