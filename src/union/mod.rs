//! The union: the tree that programs get from a stack of layers, and the ways to change it.
//!
//! Callers pass and get owned values. Nothing here knows FUSE or how a mark is stored. Each verb has a file:
//!
//! | file | owns |
//! |---|---|
//! | `node`, `table`, `descriptors` | nodes and the places of their content; node numbers; open descriptors |
//! | `content_location`, `lookup`, `merge`, `attr`, `xattr`, `data` | reading |
//! | `trace` | an optional record of what was read from the lower layers |
//! | `set_id`, `inode_flags` | set-id bits that a change removes; `chattr` flags and the protection they give |
//! | `hardlinks` | copy-up of files with several names, through the hard link index |
//! | `copy_up` | copy-up: the only constructors of `UpperDir`, `UpperFile` and `UpperData`, which every change needs |
//! | `clone_attributes` | making a copy: owner, mode, times and extended attributes |
//! | `create`, `tmpfile`, `remove`, `rename`, `before_rename`, `link` | changes of names |
//!
//! # Semantics
//!
//! - The topmost layer that has a name decides what it is. Directories of one name merge, down to the first opaque
//!   directory, whiteout or file.
//! - A lower file is copied up at its first change, with mode, owner, times, extended attributes and
//!   holes. Its parent directories are copied up first. A file that is open meanwhile stays one file.
//! - A removal leaves a whiteout if a lower layer has the name at that moment.
//! - A change of attributes copies up no data; the first write does (metacopy).
//! - A directory that exists in a lower layer can be renamed with its content: a redirect mark tells its path in the
//!   layers below.
//! - The index keeps all names of a lower file names of one file after copy-up. The origin mark keeps the inode number
//!   of a copied-up file. Both last over a remount, by Overfuse or by the kernel.
//! - Marks are read from one namespace only: `trusted.`, or `user.` where `trusted.` cannot be written. A `user.` mark
//!   cannot make a file take its data from another name.
//! - Layers may have whiteouts of any format. A directory of the upper layer is converted to the kernel's format
//!   before it changes. A file that a program makes is never mistaken for a whiteout.
//! - Attributes of programs that look like marks are stored under another name, so that a mount can hold the layers
//!   of another mount.
//! - A change of content or owner clears the set-id bits, as on Linux, unless the caller could set them again.
//! - Files that `chattr` protects, in the mount or in a layer, stay protected. The upper layer stores this in the
//!   kernel's own mark.
//! - Reading moves no access time of a lower file. Upper files follow the mount options of their file system.
//! - A new entry is built in the work directory and becomes visible by one rename.
//!
//! # Commit points
//!
//! A change of names has one commit point: the one rename, link, unlink or mkdir that makes it visible. Every step
//! whose failure is returned comes before it: copy-up, staging, marks, opening descriptors for later. After it the
//! nodes in memory change. A step on disk after it (the times of a parent, the count of names in the index, the removal
//! of a replaced entry) only logs its failure. So an error means that nothing has changed, and success that all has.
//! With the feature `faults`, `tests/faults` tests this for every system call of every operation.
//!
//! These take several steps. An error sets back the earlier ones; a process that dies between two leaves some of them:
//!
//! | operation | steps | what stays |
//! |---|---|---|
//! | a change of several attributes at once | size, owner, mode, times | a changed size, even after an error |
//! | emptying a metacopy | its data goes, then the mark | after a death: an empty file, whose data the kernel's overlayfs still reads |
//! | `chattr` of protection and other flags at once | the other flags, then the mark | after a death: the other flags |
//! | [`rename_leaving_whiteout`](Union::rename_leaving_whiteout) | the whiteout at the target, then the exchange | after a death: a whiteout that hides nothing |
//! | the same over an entry | the rename, then the whiteout | the rename, with `EIO` |
//! | a rename where the file system has no `RENAME_WHITEOUT`, over an entry | the rename, then the whiteout | what is below shows again (logged) |
//!
//! # Lock order
//!
//! `renaming` (for moves between two directories) → `Node::copying` → `Node::state` of a directory →
//! `Node::state` of a directory below it → `Node::state` of a file → `Node::listing` → the locks of the index, the
//! table and the descriptors. Two directories of which neither contains the other are locked in the order of their
//! numbers, under `renaming`; so are two entries of locked directories. While the content of a file is copied, only the
//! `copying` lock of that file is held.
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

/// For how many layers the names of hard-linked files stay in memory. Each name takes about fifty bytes.
const NAMES_KEPT: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// The layers and options of a union.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Topmost first.
    pub lower: Vec<PathBuf>,
    /// Layers below all others, topmost first. They show no names; they only hold data of metadata-only files.
    pub data_only: Vec<PathBuf>,
    /// Tables of contents of the `lower` layers, which replace reading their directories.
    pub tables: Tables,
    /// `None` makes the union read-only.
    pub upper: Option<UpperSpec>,
    /// Where owners are kept.
    pub owners: Owners,
    /// Shows every file with this owner and group.
    pub squash: Option<Owner>,
    /// Syncs nothing: a crash of the host may lose what was written since the mount.
    pub volatile: bool,
    /// `None`: redirect marks are written and followed ([`RedirectDir::On`]).
    pub redirect: Option<RedirectDir>,
    /// Whether a change of attributes copies up no data. `None`: yes with `trusted.` marks, no with `user.` marks,
    /// since the kernel does not read such files there.
    pub metacopy: Option<bool>,
    /// Writes marks as `user.overlay.*` even where `trusted.overlay.*` could be written.
    pub user_marks: bool,
    /// Reading lower files moves no access time, even when the kernel reads them itself ([`Union::backing`]).
    /// Needs the host's root.
    pub quiet: bool,
    /// Records what is read from the lower layers.
    pub trace: Option<Arc<Trace>>,
}

/// The two directories of a writable union.
#[derive(Clone, Debug)]
pub struct UpperSpec {
    /// It takes the changes.
    pub dir: PathBuf,
    /// On the file system of `dir`; no other program may use it.
    pub work: PathBuf,
}

impl Spec {
    /// A read-only union with default options; `lower` is topmost first. Files show their real owners.
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
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// One union of layers.
#[derive(Debug)]
pub struct Union {
    stack: Stack,
    /// `None` without an upper layer.
    index: Option<HardlinkIndex>,
    /// The names of hard-linked files, for the lower layers that were used last; by layer.
    names: Mutex<LruCache<usize, Arc<LinkedNames>>>,
    table: Table,
    descriptors: Descriptors,
    renaming: Mutex<()>,
    squash: Option<Owner>,
    volatile: bool,
    metacopy: bool,
    trace: Option<Arc<Trace>>,
    /// Effective user and group of this process: the owner of files that it makes.
    own: Owner,
}

impl Union {
    /// Opens and checks the layers.
    ///
    /// # Errors
    /// The reason why a layer is unusable, with its path.
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

    /// Whether there is no upper layer, so that every change fails with `EROFS`.
    pub fn is_read_only(&self) -> bool {
        self.stack.upper.is_none()
    }

    /// What `statfs(2)` of the mount shows.
    ///
    /// # Errors
    /// As `fstatvfs(3)`.
    pub fn stat_fs(&self) -> Result<FsStat> {
        self.stack.stat_fs()
    }

    /// Gives back `count` lookups of a node. Returns whether the node is now forgotten.
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

/// The file systems of the lower layers, bottom first, each once.
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

/// The root node. It merges the roots of all layers, down to the first opaque one.
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
