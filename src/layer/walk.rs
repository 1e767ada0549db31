//! A walk over all directories of a tree. Stack and open descriptors do not grow with its depth.

use std::path::{Path, PathBuf};

use crate::sys::{Dir, DirEntry, Errno, Kind, Result};

/// How a walk continues after a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// Into its subdirectories.
    Deeper,
    /// Past its subdirectories, to the next directory.
    Past,
    /// The walk ends.
    End,
}

/// Calls `visit` with each directory of the tree in `root`, its path relative to `root` and its entries. Skips
/// directories that this process may not read or that vanish during the walk.
///
/// # Errors
/// As `getdents64(2)`, and the errors of `visit`.
pub fn walk(root: &Dir, mut visit: impl FnMut(&Dir, &Path, &[DirEntry]) -> Result<Walk>) -> Result<()> {
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let here = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
        let listed = root.open_dir(here).and_then(|dir| Ok((dir.entries_quietly()?, dir)));
        let (entries, dir) = match listed {
            Err(Errno::ACCESS | Errno::PERM) => continue,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if !path.as_os_str().is_empty() => continue,
            other => other?,
        };
        match visit(&dir, &path, &entries)? {
            Walk::Deeper => {
                let below = entries.iter().filter(|entry| entry.kind == Kind::Directory);
                todo.extend(below.map(|entry| path.join(entry.name.as_os_str())));
            }
            Walk::Past => {}
            Walk::End => return Ok(()),
        }
    }
    Ok(())
}
