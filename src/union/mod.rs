//! The union: what programs see of a stack of layers, and how they change it.
//!
//! Owned values go in and out; nothing here knows FUSE, nor how a mark is stored. One file a verb:
//!
//! | file | owns |
//! |---|---|
//! | `node`, `table`, `descriptors` | nodes and where their content lives; numbers; open descriptors |
//! | `content_location`, `lookup`, `merge`, `attr`, `xattr`, `data` | the reading side |
//! | `trace` | a record of what was read of the lower layers, where it is asked for |
//! | `set_id`, `inode_flags` | which mode bits a change takes away; what may not change |
//! | `hardlinks` | files of several names, and the index that holds them together |
//! | `copy_up` | the only maker of `UpperDir`, `UpperFile` and `UpperData`, which every change needs |
//! | `clone_attributes` | what of a file a copy of it takes over |
//! | `create`, `tmpfile`, `remove`, `rename`, `before_rename`, `link` | the changing side |
//!
//! # Semantics
//!
//! - The newest layer that has a name decides what it is; directories of one name merge, down to the
//!   first that is opaque, a whiteout or a file.
//! - A lower file is copied up at its first change, with mode, owner, times, extended attributes and
//!   holes, and with the directories that lead to it. An open file is one file before and after.
//! - A removal leaves a whiteout where a lower layer has the name, computed from the layers at that moment.
//! - A change of attributes alone leaves the data below until the first write (metacopy).
//! - A directory that exists below is renamed with all that is in it: a redirect mark says where the layers
//!   below have it.
//! - Names of one lower file stay names of one file, by the index; what was copied up keeps its number, by
//!   its origin mark. All of that lasts over a remount, by us or by the kernel.
//! - What a mark says is believed in one namespace: `trusted.`, or where that cannot be, `user.`; and by a
//!   `user.` mark no file finds its data under another name.
//! - Layers are read whatever the format of their whiteouts; an upper directory that holds others than the kernel's
//!   is put into its format before it changes. What a program makes is never taken for one.
//! - Attributes of programs that look like marks are kept apart from these: a mount can hold the layers of another.
//! - A change of content or owner takes set-id bits from those who could not set them, as Linux has it.
//! - What `chattr` protects is protected, here or in a layer, by the kernel's own mark in the upper.
//! - Lower files keep the time of their last access; upper files have theirs moved as their mount says.
//! - Everything becomes visible by one rename of what was built in the work directory.
//!
//! # Commit points
//!
//! A change of names has one commit point: the one rename, link, unlink or mkdir by which it becomes visible. Everything
//! that can fail comes before it: copying up, staging, marks, opening what will be needed. After it only memory changes.
//! What is done on disk after it (the times of a parent, the count of names in the index, the removal of what was
//! replaced) is logged when it fails, and not returned. So an error means that nothing has happened, and success that
//! everything has. With the feature `faults`, `tests/faults` holds this for every system call of every operation.
//!
//! # Lock order
//!
//! `renaming` (for moves between two directories) → `Node::copying` → `Node::state` of a directory →
//! of a directory below it → of a file → `Node::listing` → the locks of the index, the table and the
//! descriptors. Two unrelated directories are locked in the order of their numbers, under `renaming`; so are
//! two entries of directories that are locked. No lock is held while the content of a file is copied, but
//! `copying` of that file.
#![doc = include_str!("semantics.md")]

mod attr;
mod before_rename;
mod clone_attributes;
mod content_location;
mod copy_up;
mod create;
mod data;
mod descriptors;
mod hardlinks;
mod inode_flags;
mod link;
mod lookup;
mod merge;
mod node;
mod remove;
mod rename;
mod set_id;
mod table;
mod tmpfile;
mod trace;
mod xattr;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lru::LruCache;
use parking_lot::Mutex;

use crate::layer::{Asked, HardlinkIndex, LinkedNames, LowerDirs, Mark, Namespace, Stack};
use crate::sys::{self, Errno, FsStat, Kind, Result};

pub use crate::layer::{OpenError, Owners, RedirectDir, Tables};
pub use attr::{Attr, Change};
pub use create::{Mode, New};
pub use merge::{DIR_BATCH, DirItem};
pub use node::NodeId;
pub use remove::Remove;
pub use rename::{How, Slot};
pub use trace::{FileRead, Trace};
pub use xattr::Wanted;

use descriptors::Descriptors;
use node::{Content, DirContent, Node, Places, Real, State, UpperPart};
use table::{FileSystem, Table};

/// Of so many layers the names of files with several stay in memory: about fifty bytes for each name.
const NAMES_KEPT: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// What a union is made of.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Topmost first.
    pub lower: Vec<PathBuf>,
    /// Below all others, topmost first: only the data of metadata-only files is looked for in these.
    pub data_only: Vec<PathBuf>,
    /// What is known of the directories of `lower`, so that they need not be read.
    pub tables: Tables,
    /// Without, nothing can be changed.
    pub upper: Option<UpperSpec>,
    pub owners: Owners,
    /// Show every file as this user's and group's.
    pub squash: Option<Owner>,
    /// Syncs nothing: a crash of the host may lose what was written since the mount.
    pub volatile: bool,
    /// Unset: renamed directories leave and follow marks.
    pub redirect: Option<RedirectDir>,
    /// Whether a change of attributes copies up no data. Unset: where the kernel reads such files, which
    /// it does not with `user.` marks.
    pub metacopy: Option<bool>,
    /// Keep marks in `user.overlay.`, also where `trusted.overlay.` could be written.
    pub user_marks: bool,
    /// Reading lower files moves no time of access, also when the kernel does it in our place
    /// ([`Union::backing`]). For root of the host.
    pub quiet: bool,
    /// Where to note what is read of the lower layers.
    pub trace: Option<Arc<Trace>>,
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
            tables: Tables::None,
            upper: None,
            owners: Owners::Real,
            squash: None,
            volatile: false,
            redirect: None,
            metacopy: None,
            user_marks: false,
            quiet: false,
            trace: None,
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
    /// With an upper layer.
    index: Option<HardlinkIndex>,
    /// Of the lower layers that files of several names were last copied up from.
    names: Mutex<LruCache<usize, Arc<LinkedNames>>>,
    table: Table,
    descriptors: Descriptors,
    renaming: Mutex<()>,
    squash: Option<Owner>,
    volatile: bool,
    metacopy: bool,
    trace: Option<Arc<Trace>>,
    /// Who makes the files that this process makes.
    own: Owner,
}

impl Union {
    /// Opens and checks the layers.
    ///
    /// # Errors
    /// What makes them unusable, named.
    pub fn open(spec: &Spec) -> Result<Union, OpenError> {
        let stack = Stack::open(&Asked {
            lower: &spec.lower,
            data_only: &spec.data_only,
            tables: &spec.tables,
            upper: spec.upper.as_ref().map(|upper| (upper.dir.as_path(), upper.work.as_path())),
            owners: spec.owners,
            user_marks: spec.user_marks,
            redirects: spec.redirect.unwrap_or(RedirectDir::On),
            quiet: spec.quiet,
        })?;
        let failed = |what, path: Option<&PathBuf>| {
            let path = path.cloned().unwrap_or_default();
            move |source| OpenError::Open { what, path, source }
        };
        let lower_failed = || failed("lower directory", spec.lower.first());
        let layers = file_systems(&stack).map_err(lower_failed())?;
        let table = Table::new(layers, root_node(&stack).map_err(lower_failed())?);
        let index = match &stack.upper {
            Some(upper) => {
                let work = spec.upper.as_ref().map(|upper| &upper.work);
                Some(upper.index(|origin| table.number_of(origin)).map_err(failed("index in work directory", work))?)
            }
            None => None,
        };
        let trusted = stack.upper.as_ref().is_some_and(|upper| upper.policy.marks == Namespace::Trusted);
        Ok(Union {
            names: Mutex::new(LruCache::new(NAMES_KEPT)),
            stack,
            index,
            table,
            descriptors: Descriptors::new(sys::raise_descriptor_limit()),
            renaming: Mutex::default(),
            squash: spec.squash,
            volatile: spec.volatile,
            metacopy: spec.metacopy.unwrap_or(trusted),
            trace: spec.trace.clone(),
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

    /// Gives back `count` lookups of a node; answers whether it is known no more.
    pub fn forget(&self, id: NodeId, count: u64) -> bool {
        for node in self.table.release(id, count) {
            self.descriptors.forget(node.id);
            if let Some(content) = node.state.read().dir() {
                self.descriptors.forget_dirs(content.lower.iter().map(|dir| dir.serial()));
            }
        }
        let gone = self.table.peek(id).is_none();
        if gone {
            self.descriptors.forget(id);
        }
        gone
    }

    fn upper(&self) -> Result<&crate::layer::UpperLayer> {
        self.stack.upper.as_ref().ok_or(Errno::ROFS)
    }

    fn index(&self) -> Result<&HardlinkIndex> {
        self.index.as_ref().ok_or(Errno::ROFS)
    }
}

/// Those of the lower layers, bottom first, each once.
fn file_systems(stack: &Stack) -> Result<Vec<FileSystem>> {
    let mut known: Vec<FileSystem> = Vec::new();
    for layer in stack.lower.iter().rev() {
        let dev = layer.dev()?;
        if known.iter().all(|file_system| file_system.dev != dev) {
            known.push(FileSystem { dev, uuid: layer.filesystem_uuid().unwrap_or_default() });
        }
    }
    Ok(known)
}

/// The root merges every layer down to the first that is opaque.
fn root_node(stack: &Stack) -> Result<Node> {
    let stat = match &stack.upper {
        Some(upper) => upper.root().stat_self()?,
        None => stack.lower.first().ok_or(Errno::NOENT)?.stat()?,
    };
    let mut content = DirContent {
        upper: if stack.upper.is_some() { UpperPart::Here } else { UpperPart::None },
        lower: LowerDirs::default(),
        path: Path::new("/").into(),
        impure: AtomicBool::new(false),
        adopted: AtomicBool::new(false),
        inherit: None,
    };
    let upper = stack.upper.as_ref().map(|upper| upper.root());
    *content.impure.get_mut() = upper.map_or(Ok(false), |upper| Ok(upper.marks()?.get(Mark::Impure).is_some()))?;
    if !upper.map_or(Ok(false), |upper| upper.is_opaque())? {
        content.lower = LowerDirs::merging_roots(stack)?;
    }
    Ok(Node::new(NodeId::ROOT, Kind::Directory, Real::of(&stat), Places::new(), Content::Dir(Box::new(content))))
}
