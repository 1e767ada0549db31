//! Known differences between the subjects and the model, one row each, with the reason.

use overfuse::sys::{Errno, Kind};

use crate::ground::By;
use crate::operations::{Answer, Operation};
use crate::subject::kind_name;
use crate::support::need::is_root;

/// One known difference.
struct Row {
    by: By,
    then: Then,
    is_it: fn(operation: &Operation, model: &Answer, seen: &Answer) -> bool,
    #[expect(dead_code, reason = "for the reader")]
    reason: &'static str,
}

/// What the run does with a subject that differs from the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Keeps comparing it: only this answer differs.
    GoesOn,
    /// Ends it: its tree is no longer comparable.
    Leaves,
}

const ROWS: &[Row] = &[
    Row {
        by: By::Kernel,
        then: Then::GoesOn,
        is_it: |operation, model, seen| {
            let (Operation::StatOpen { .. }, Ok(model), Ok(seen)) = (operation, model, seen) else { return false };
            model.replace("links=0", "links=1") == *seen
        },
        reason: "A lower file that was removed while it is open keeps the link count of its layer.",
    },
    Row {
        by: By::Kernel,
        then: Then::Leaves,
        is_it: |operation, model, seen| {
            let cannot = [Err(Errno::NOTDIR), Err(Errno::EXIST)].contains(seen);
            matches!(operation, Operation::ChmodOpen { .. }) && model.is_ok() && cannot
        },
        reason: "A lower file or directory that was removed while it is open can no longer be copied up.",
    },
    Row {
        by: By::Kernel,
        then: Then::GoesOn,
        is_it: |operation, model, seen| {
            let renames = matches!(operation, Operation::Rename { .. });
            renames && model.is_err() && *seen == Err(Errno::XDEV) && !is_root()
        },
        reason: "As the next row, for a rename that would fail with another error later.",
    },
    Row {
        by: By::Kernel,
        then: Then::Leaves,
        is_it: |operation, model, seen| {
            let renames = matches!(operation, Operation::Rename { .. });
            renames && model.is_ok() && *seen == Err(Errno::XDEV) && !is_root()
        },
        reason: "With user.* marks the kernel writes no redirects, and cannot rename a directory of a lower layer.",
    },
    Row {
        by: By::Kernel,
        then: Then::GoesOn,
        is_it: |operation, model, seen| {
            let renames = matches!(operation, Operation::Rename { .. });
            renames && model.is_ok() && *seen == Err(Errno::STALE) && !is_root()
        },
        reason: "Without an index, the kernel takes two names of a file for two, and fails instead of doing nothing.",
    },
    Row {
        by: By::Kernel,
        then: Then::Leaves,
        is_it: |operation, model, seen| {
            matches!(operation, Operation::CopyRange { .. }) && model.is_ok() && *seen == Err(Errno::XDEV)
        },
        reason: "The kernel copies no range between layers on two file systems, although both files are in one mount.",
    },
];

/// Kernel overlayfs copies up the data of a metadata-only file when the file is opened for writing. This sets its
/// mtime, although nothing was written. Overfuse keeps the mtime.
pub const TIMES_SLIP: bool = true;

/// Whether the inode number of a file of this kind may change when Overfuse forgets the node. A mark keeps the number,
/// but symbolic links, fifos and devices cannot carry user.* marks. Kernel overlayfs has the same limit.
pub fn may_change_number(kind: &str) -> bool {
    !is_root() && !["file", "dir"].contains(&kind)
}

/// Whether the names of a hard-linked lower file of this kind may become separate files, for the same reason.
pub fn may_lose_links(kind: Kind) -> bool {
    may_change_number(kind_name(kind))
}

/// Whether Overfuse uses marks that the kernel does not follow in a user namespace: a redirect, for a renamed directory
/// that `exist_below`, or the index, if the stack `has_links`.
pub fn is_beyond_user_marks(exist_below: bool, has_links: bool) -> bool {
    !is_root() && (exist_below || has_links)
}

/// What to do with a subject whose answer differs from the model's; `None` if the difference is not a known one.
pub fn then(by: By, operation: &Operation, model: &Answer, seen: &Answer) -> Option<Then> {
    ROWS.iter().find(|row| row.by == by && (row.is_it)(operation, model, seen)).map(|row| row.then)
}
