//! One directory tree and what its marks mean.
//!
//! Formats are decoded here and never seen above: a layer answers [`Seen`], whatever dialect its
//! whiteouts and marks are written in. A [`LowerLayer`] has no method that changes anything; an
//! [`UpperLayer`] writes the kernel's own format. Knows nothing of nodes, unions or FUSE.

pub mod contents;
mod dir;
mod index;
mod lower;
pub mod marks;
mod names;
mod nesting;
mod origin;
pub mod ownership;
pub mod policy;
mod protection;
mod redirect;
mod resolve;
mod search;
mod shared;
mod stack;
mod stage;
mod walk;
pub mod whiteout;

pub use contents::{Contents, Tables};
pub use dir::LayerDir;
pub use index::{DIRECTORY as INDEX, Index, Indexed, Leaving};
pub use lower::{Known, LowerDir, LowerDirs, LowerFile};
pub use marks::{Mark, Marks, Namespace};
pub use names::{Names, names_of_linked};
pub use origin::Origin;
pub use ownership::{Owners, Recorded};
pub use policy::{Policy, RedirectDir};
pub use protection::Protection;
pub use redirect::Redirect;
pub use resolve::{Resolution, resolve};
pub use search::{Among, Layers, Look, Part, look, look_among};
pub use stack::{Asked, LowerLayer, OpenError, Stack, UpperLayer};
pub use stage::Staged;
pub use walk::{Walk, walk};

use crate::sys::xattr::Of;
use crate::sys::{Dir, Kind, Name, Result, Stat};

/// What one layer says of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
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
fn see(dir: &Dir, name: Name<'_>, stat: Option<Stat>, namespace: Namespace) -> Result<Seen> {
    let Some(stat) = stat else { return Ok(Seen::Nothing) };
    if stat.is_whiteout_device() {
        return Ok(Seen::Whiteout);
    }
    let marks = Marks::read(Of::Name(dir, name), namespace)?;
    Found::new(stat, &marks).map(Seen::Entry)
}
