//! Where Overfuse answers otherwise than kernel overlayfs, on purpose, with the reasons.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::operations::Operation;
use crate::support::Snapshot;

/// An outcome that differs. What follows in the sequence is not comparable any more.
struct Row {
    reason: &'static str,
    is_it: fn(operation: &Operation, kernel: &str, overfuse: &str) -> bool,
}

const ROWS: &[Row] = &[];

/// Why the two outcomes differ, where that is meant to be so.
pub fn reason(operation: &Operation, kernel: &str, overfuse: &str) -> Option<&'static str> {
    ROWS.iter().find(|row| (row.is_it)(operation, kernel, overfuse)).map(|row| row.reason)
}

/// What the kernel shows, as far as it is to be matched.
///
/// In a directory that merges with nothing, the kernel lists the whiteouts of its layer, and then
/// finds nothing by their names. Overfuse lists what is there.
pub fn shown(by_kernel: Snapshot) -> Snapshot {
    by_kernel.without_ghosts()
}

/// The names in a directory, as far as they are to be matched: see [`shown`], which finds the ghosts of Overfuse.
pub fn list(dir: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path().symlink_metadata().is_ok() {
            names.push(entry.file_name().display().to_string());
        }
    }
    names.sort();
    Ok(names.join(" "))
}

/// Brings up a file of several names that was opened for writing.
///
/// The kernel does that when it is opened, Overfuse at the first change; it shows in the link count,
/// since the names of a lower file become files of their own. Files of one name are left alone: their
/// late arrival is to be tested.
pub fn bring_up(file: &File) -> io::Result<()> {
    let meta = file.metadata()?;
    if meta.nlink() > 1 { file.set_permissions(meta.permissions()) } else { Ok(()) }
}
