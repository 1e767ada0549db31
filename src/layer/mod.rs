//! One directory tree and what its marks mean.
//!
//! Formats are decoded here and never seen above: a layer answers [`Verdict`], whatever dialect its
//! whiteouts and marks are written in. A [`LowerLayer`] has no method that changes anything; an
//! [`UpperLayer`] writes the kernel's own format. Knows nothing of nodes, unions or FUSE.
//!
//! # One door to lower files
//!
//! What a lower file holds is read through [`LowerFile`] and the [`LayerEntry`] that it leads to: content, extended
//! attributes, target of a link. No directory of a lower layer leaves this module, so that a layer can be something else
//! than a directory without anybody outside noticing.
//!
//! # One merge
//!
//! [`lookup`] says what the layers together have under a name: redirects, data of metadata-only files, and the copies in the
//! index included. [`LowerDirs`] says which directories merge, [`each_part`] what they list. A mount adds nodes and caches
//! to these (`union`); [`Merge`] reads one tree after the other and keeps little.
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
    Nothing,
    Whiteout,
    Entry(Found),
}

/// A file or directory of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// As the kernel describes it; [`Owners::stat`] says what users shall see.
    pub stat: Stat,
    /// A directory that hides those below it.
    pub opaque: bool,
    /// Where the layers below have what this continues, if not under its own name.
    pub redirect: Option<Redirect>,
    /// A file that holds attributes only: its data is below.
    pub metacopy: bool,
    /// A directory that merges with nothing, but holds what came from below.
    pub impure: bool,
    /// The file below that this was copied from.
    pub origin: Option<Origin>,
    pub protection: Protection,
    /// Somebody looked, and it has no extended attribute at all.
    pub bare: bool,
}

impl Found {
    pub fn is_dir(&self) -> bool {
        self.stat.kind == Kind::Directory
    }
}

impl Found {
    /// What carries no mark.
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

/// What a directory has under `name`, in the kernel's format alone; marks are in `namespace`.
fn decode(dir: &Dir, name: Name<'_>, stat: Option<Stat>, namespace: Namespace) -> Result<Verdict> {
    let Some(stat) = stat else { return Ok(Verdict::Nothing) };
    if stat.is_whiteout_device() {
        return Ok(Verdict::Whiteout);
    }
    let marks = Marks::read(Of::Name(dir, name), namespace)?;
    Found::new(stat, &marks).map(Verdict::Entry)
}
