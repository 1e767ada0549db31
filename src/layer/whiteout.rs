//! Whiteouts: entries that say a name is gone.

use crate::sys::{Dir, Kind, Name, Result};

/// Makes `name` in `dir` a whiteout, the character device 0/0 that the kernel's overlayfs knows.
///
/// # Errors
/// As `mknodat(2)`; `EEXIST` when the name is taken.
pub fn create(dir: &Dir, name: Name<'_>) -> Result<()> {
    dir.make_node(name, Kind::CharDevice, 0, 0)
}
