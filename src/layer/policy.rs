//! Policy: every difference between root and rootless, found by trying, once.

use crate::sys::xattr::Of;
use crate::sys::{Dir, Kind, Name, Result};

use super::marks::{Mark, Namespace};
use super::ownership::Owners;

/// How this process keeps on disk what a layer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub marks: Namespace,
    pub owners: Owners,
}

/// What is done with directories that were renamed, and so continue elsewhere below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectDir {
    /// A rename leaves a redirect mark; marks are followed.
    On,
    /// Marks that exist are followed; none is made.
    Follow,
    /// Marks are not followed: what has one cannot be entered.
    NoFollow,
}

impl Policy {
    /// Tries in a scratch file of `dir`, which must be writable, what this process may do.
    ///
    /// # Errors
    /// When the scratch file can be neither made nor removed.
    pub fn probe(dir: &Dir) -> Result<Policy> {
        let text = format!(".probe-{}", std::process::id());
        let name = Name::new(&text)?;
        dir.remove_all(name)?;
        dir.make_node(name, Kind::Regular, 0o600, 0)?;
        let trusted = Namespace::Trusted.set(Of::Name(dir, name), Mark::Opaque, b"y").is_ok();
        let owners = dir.set_owner(name, Some(1), Some(1)).is_ok();
        dir.remove_file(name)?;
        Ok(Policy {
            marks: if trusted { Namespace::Trusted } else { Namespace::User },
            owners: if owners { Owners::Real } else { Owners::Recorded },
        })
    }
}
