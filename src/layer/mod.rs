//! Layers: directory trees, and what their whiteouts and marks mean.
//!
//! All layer formats are decoded here; other modules only see a [`Verdict`]. A [`LowerLayer`] has no method that
//! changes anything. An [`UpperLayer`] writes the kernel's own format. This module knows nothing of nodes, unions or
//! FUSE.
//!
//! # Reading lower files
//!
//! The content, extended attributes and link target of a lower file are read only through [`LowerFile`] and the
//! [`LayerEntry`] that it returns. No open directory of a lower layer leaves this module, so that a layer can later be
//! something other than a directory without changes outside.
//!
//! # Merging
//!
//! [`lookup`] returns what all layers together have under a name. It follows redirects and finds the data of
//! metadata-only files and the copies in the hardlink index. [`LowerDirs`] holds the directories that merge, and
//! [`each_part`] lists them. A mount adds nodes and caches (module `union`); [`Merge`] reads a tree without a mount and
//! keeps little in memory.
#![doc = include_str!("formats.md")]

mod dir;
mod entry;
mod hardlinks;
mod inode_flags;
mod linked_names;
mod listing;
mod lower;
mod lower_layer;
pub mod marks;
mod merged;
mod nesting;
mod origin;
pub mod ownership;
pub mod policy;
mod redirect;
mod resolve;
mod search;
mod shared_whiteout;
mod stack;
mod stage;
pub mod toc;
mod walk;
pub mod whiteout;

pub use dir::LayerDir;
pub use entry::LayerEntry;
pub use hardlinks::{DIRECTORY as HARDLINK_INDEX, HardlinkIndex, Indexed, Leaving};
pub use inode_flags::Protection;
pub use linked_names::LinkedNames;
pub use listing::{ListedPart, each_part};
pub use lower::{Known, Layers, LowerDir, LowerDirs, LowerFile, OpenLowerDir, Part};
pub use lower_layer::LowerLayer;
pub use marks::{Mark, Marks, Namespace};
pub use merged::{Merge, MergedDir, Over};
pub use origin::Origin;
pub use ownership::{Owners, Recorded};
pub use policy::{Policy, RedirectDir};
pub use redirect::Redirect;
pub use resolve::{Resolution, resolve};
pub use search::{LayerRange, Resolved, lookup, lookup_in_range};
pub use stack::{Asked, OpenError, Stack, UpperLayer};
pub use stage::Staged;
pub use toc::{Tables, Toc};
pub use walk::{Walk, walk};

use crate::sys::xattr::Of;
use crate::sys::{Dir, Kind, Name, Result, Stat};

/// What one layer says of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The layer does not mention the name, so the layers below decide.
    Nothing,
    /// The name is gone, whatever the layers below have.
    Whiteout,
    /// The layer has this file or directory.
    Entry(Found),
}

/// A file or directory of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The attributes as the kernel has them; [`Owners::stat`] converts them to what users see.
    pub stat: Stat,
    /// It is a directory that hides directories of its name in the layers below.
    pub opaque: bool,
    /// The name or path under which the layers below have what this continues, if it differs from its own.
    pub redirect: Option<Redirect>,
    /// It is a file that has attributes only; a lower layer has its data.
    pub metacopy: bool,
    /// It is a directory that merges with no other, but holds entries from lower layers.
    pub impure: bool,
    /// The lower file from which this was copied up.
    pub origin: Option<Origin>,
    /// What `chattr` forbids.
    pub protection: Protection,
    /// It is known to have no extended attribute at all.
    pub bare: bool,
}

impl Found {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.stat.kind == Kind::Directory
    }
}

impl Found {
    /// An entry without marks.
    pub fn plain(stat: Stat) -> Found {
        let (redirect, origin, protection) = (None, None, Protection::default());
        Found { stat, opaque: false, redirect, metacopy: false, impure: false, origin, protection, bare: false }
    }

    fn new(stat: Stat, marks: &Marks) -> Result<Found> {
        let is_dir = stat.kind == Kind::Directory;
        let metacopy = stat.kind == Kind::Regular && marks.get(Mark::Metacopy).is_some();
        let redirect = marks.get(Mark::Redirect).filter(|_| metacopy || is_dir);
        let protection = Protection::of(&stat, marks);
        Ok(Found {
            stat,
            opaque: is_dir && marks.is_opaque(),
            redirect: redirect.map(Redirect::parse).transpose()?,
            metacopy,
            impure: is_dir && marks.get(Mark::Impure).is_some(),
            origin: marks.get(Mark::Origin).and_then(Origin::decode),
            protection,
            bare: marks.is_bare(),
        })
    }
}

/// What `stat`, the attributes of `name` in `dir`, and its marks in `namespace` mean. Reads the kernel's format only.
fn decode(dir: &Dir, name: Name<'_>, stat: Option<Stat>, namespace: Namespace) -> Result<Verdict> {
    let Some(stat) = stat else { return Ok(Verdict::Nothing) };
    if stat.is_whiteout_device() {
        return Ok(Verdict::Whiteout);
    }
    let marks = Marks::read(Of::Name(dir, name), namespace)?;
    Found::new(stat, &marks).map(Verdict::Entry)
}
