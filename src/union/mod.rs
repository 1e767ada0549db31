//! The union: what programs see of a stack of layers, and how they change it.
//!
//! Owned values go in and out; nothing here knows FUSE, nor how a mark is stored. One file a verb:
//!
//! | file | owns |
//! |---|---|
//! | `node`, `table`, `descriptors` | nodes and where their content lives; numbers; open descriptors |
//! | `locate`, `lookup`, `merge`, `attr`, `xattr`, `data` | the reading side |
//! | `set_id` | which mode bits a change takes away |
//! | `copy_up` | the only maker of `UpperDir`, `UpperFile` and `UpperData`, which every change needs |
//! | `create`, `remove`, `rename`, `link` | the changing side |
//!
//! # Semantics
//!
//! - The newest layer that has a name decides what it is; directories of one name merge, down to the
//!   first that is opaque, a whiteout or a file.
//! - A lower file is copied up at its first change, with mode, owner, times, extended attributes and
//!   holes, and with the directories that lead to it. An open file is one file before and after.
//! - A removal leaves a whiteout where a lower layer has the name, computed from the layers at that moment.
//! - A directory that exists below cannot be renamed (`EXDEV`), as in overlayfs without `redirect_dir`.
//! - Names of one lower file with several links are files of their own in a writable union.
//! - Everything becomes visible by one rename of what was built in the work directory.
//!
//! # Lock order
//!
//! `renaming` (for moves between two directories) → `Node::copying` → `Node::state` of a directory →
//! of a directory below it → of a file → `Node::listing` → the table's and the descriptors' own locks.
//! Two unrelated directories are locked in the order of their numbers, under `renaming`. No lock is
//! held while the content of a file is copied, but `copying` of that file.

mod attr;
mod copy_up;
mod create;
mod data;
mod descriptors;
mod link;
mod locate;
mod lookup;
mod merge;
mod node;
mod remove;
mod rename;
mod set_id;
mod table;
mod xattr;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::layer::marks::is_opaque;
use crate::layer::{self, Stack};
use crate::sys::xattr::Of;
use crate::sys::{self, Errno, FsStat, Kind, Result};

pub use crate::layer::{OpenError, Owners, Redirect};
pub use attr::{Attr, Change};
pub use create::{Mode, New};
pub use merge::DirItem;
pub use node::NodeId;
pub use remove::Remove;
pub use rename::{How, Slot};
pub use xattr::Wanted;

use descriptors::Descriptors;
use node::{Content, DirContent, LowerDir, Node, Real, State, UpperPart};
use table::Table;

/// What a union is made of.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Topmost first.
    pub lower: Vec<PathBuf>,
    /// Below all others, topmost first: only the data of metadata-only files is looked for in these.
    pub data_only: Vec<PathBuf>,
    /// Without, nothing can be changed.
    pub upper: Option<UpperSpec>,
    pub owners: Owners,
    /// Show every file as this user's and group's.
    pub squash: Option<Owner>,
    /// Syncs nothing: a crash of the host may lose what was written since the mount.
    pub volatile: bool,
    /// Unset, like the two that follow: as the policy has it.
    pub redirect: Option<Redirect>,
    pub metacopy: Option<bool>,
    pub index: Option<bool>,
    /// Keep marks in `user.overlay.`, also where `trusted.overlay.` could be written.
    pub user_marks: bool,
}

/// The two directories of a writable union.
#[derive(Clone, Debug)]
pub struct UpperSpec {
    pub dir: PathBuf,
    /// On the file system of `dir`, and used by nothing else.
    pub work: PathBuf,
}

impl Spec {
    /// A read-only union with owners as they are.
    pub fn new(lower: Vec<PathBuf>) -> Spec {
        Spec {
            lower,
            data_only: Vec::new(),
            upper: None,
            owners: Owners::Real,
            squash: None,
            volatile: false,
            redirect: None,
            metacopy: None,
            index: None,
            user_marks: false,
        }
    }
}

/// A user and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// One union of layers.
#[derive(Debug)]
pub struct Union {
    stack: Stack,
    table: Table,
    descriptors: Descriptors,
    renaming: Mutex<()>,
    serials: AtomicU64,
    squash: Option<Owner>,
    volatile: bool,
    /// Who makes the files that this process makes.
    own: Owner,
}

impl Union {
    /// Opens and checks the layers.
    ///
    /// # Errors
    /// What makes them unusable, named.
    pub fn open(spec: &Spec) -> Result<Union, OpenError> {
        let upper = spec.upper.as_ref().map(|upper| (upper.dir.as_path(), upper.work.as_path()));
        layer::check_nesting(&[&*spec.lower, &*spec.data_only].concat(), upper)?;
        let stack = Stack::open(&spec.lower, upper, spec.owners)?;
        let failed = |source| OpenError::Open {
            what: "lower directory",
            path: spec.lower.first().cloned().unwrap_or_default(),
            source,
        };
        let mut devices = Vec::new();
        for layer in stack.lower.iter().rev() {
            devices.push(layer.root().stat_self().map_err(failed)?.dev);
        }
        let serials = AtomicU64::new(0);
        let root = root_node(&stack, &serials).map_err(failed)?;
        Ok(Union {
            table: Table::new(devices, root),
            stack,
            descriptors: Descriptors::new(sys::raise_descriptor_limit()),
            renaming: Mutex::default(),
            serials,
            squash: spec.squash,
            volatile: spec.volatile,
            own: Owner { uid: sys::effective_uid(), gid: sys::effective_gid() },
        })
    }

    /// Whether nothing can be changed.
    pub fn is_read_only(&self) -> bool {
        self.stack.upper.is_none()
    }

    /// # Errors
    /// As `fstatvfs(3)`.
    pub fn stat_fs(&self) -> Result<FsStat> {
        self.stack.stat_fs()
    }

    /// Gives back `count` lookups of a node.
    pub fn forget(&self, id: NodeId, count: u64) {
        self.table.release(id, count);
        if self.table.peek(id).is_none() {
            self.descriptors.forget(id);
        }
    }

    fn lower_dir(&self, layer: usize, path: PathBuf) -> LowerDir {
        new_lower_dir(&self.serials, layer, path)
    }

    fn upper(&self) -> Result<&crate::layer::UpperLayer> {
        self.stack.upper.as_ref().ok_or(Errno::ROFS)
    }
}

fn new_lower_dir(serials: &AtomicU64, layer: usize, path: PathBuf) -> LowerDir {
    LowerDir { layer, path: path.into(), serial: serials.fetch_add(1, Ordering::Relaxed) }
}

/// The root merges every layer down to the first that is opaque.
fn root_node(stack: &Stack, serials: &AtomicU64) -> Result<Node> {
    let top = match &stack.upper {
        Some(upper) => upper.root(),
        None => stack.lower.first().ok_or(Errno::NOENT)?.root(),
    };
    let stat = top.stat_self()?;
    let mut lower = Vec::new();
    if !stack.upper.as_ref().map_or(Ok(false), |upper| is_opaque(Of::fd(upper.root())))? {
        for (layer, dir) in stack.lower.iter().enumerate() {
            lower.push(new_lower_dir(serials, layer, ".".into()).into());
            if is_opaque(Of::fd(dir.root()))? {
                break;
            }
        }
    }
    let upper = if stack.upper.is_some() { UpperPart::Here } else { UpperPart::None };
    let content = Content::Dir(DirContent { upper, lower, inherit: None });
    let real = Real { dev: stat.dev, ino: stat.ino };
    Ok(Node::new(NodeId::ROOT, Kind::Directory, State { places: Vec::new(), real, content }))
}
