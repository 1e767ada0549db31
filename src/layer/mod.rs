//! One directory tree and what its marks mean.
//!
//! Formats are decoded here and never seen above: a layer answers [`Seen`], whatever dialect its
//! whiteouts and marks are written in. A [`LowerLayer`] has no method that changes anything; an
//! [`UpperLayer`] writes the kernel's own format. Knows nothing of nodes, unions or FUSE.

pub mod marks;
mod nesting;
pub mod ownership;
pub mod policy;
mod resolve;
mod stack;
mod stage;
pub mod whiteout;

pub use marks::{Mark, Marks, Namespace};
pub use nesting::check_nesting;
pub use ownership::{Owners, Recorded};
pub use policy::{Policy, Redirect};
pub use resolve::{Resolution, resolve};
pub use stack::{LowerLayer, OpenError, Stack, UpperLayer};
pub use stage::Staged;

use crate::sys::xattr::Of;
use crate::sys::{Dir, Errno, Kind, Name, Result, Stat};

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
}

impl Found {
    pub fn is_dir(&self) -> bool {
        self.stat.kind == Kind::Directory
    }
}

/// Asks one directory of one layer for `name`.
///
/// # Errors
/// As `fstatat(2)`, but for `ENOENT`, and as `listxattr(2)`.
pub fn see(dir: &Dir, name: Name<'_>) -> Result<Seen> {
    let stat = match dir.stat(name) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Seen::Nothing),
        Err(e) => return Err(e),
    };
    if stat.is_whiteout_device() {
        return Ok(Seen::Whiteout);
    }
    let opaque = stat.kind == Kind::Directory && marks::is_opaque(Of::Name(dir, name))?;
    Ok(Seen::Entry(Found { stat, opaque }))
}
