//! Where a subject answers otherwise than the model, on purpose or for reasons of its own, one row each.

use overfuse::sys::{Errno, Kind};

use crate::ground::By;
use crate::operations::{Answer, Operation};
use crate::subject::kind_name;
use crate::support::need::is_root;

/// An answer that differs.
struct Row {
    by: By,
    then: Then,
    is_it: fn(operation: &Operation, model: &Answer, seen: &Answer) -> bool,
    #[expect(dead_code, reason = "it is for who reads the rows")]
    reason: &'static str,
}

/// What becomes of a subject that answered otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Only the answer differs.
    GoesOn,
    /// What it shows is no longer comparable.
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
        reason: "A lower file that was removed while it is open keeps the link count that it has below.",
    },
    Row {
        by: By::Kernel,
        then: Then::Leaves,
        is_it: |operation, model, seen| {
            let cannot = [Err(Errno::NOTDIR), Err(Errno::EXIST)].contains(seen);
            matches!(operation, Operation::ChmodOpen { .. }) && model.is_ok() && cannot
        },
        reason: "What is below and was removed while it is open cannot be copied up any more.",
    },
    Row {
        by: By::Kernel,
        then: Then::GoesOn,
        is_it: |operation, model, seen| {
            let renames = matches!(operation, Operation::Rename { .. });
            renames && model.is_err() && *seen == Err(Errno::XDEV) && !is_root()
        },
        reason: "As the next, where another error would come later.",
    },
    Row {
        by: By::Kernel,
        then: Then::Leaves,
        is_it: |operation, model, seen| {
            let renames = matches!(operation, Operation::Rename { .. });
            renames && model.is_ok() && *seen == Err(Errno::XDEV) && !is_root()
        },
        reason: "With user.* marks the kernel writes no redirects, and cannot rename a directory that exists below.",
    },
    Row {
        by: By::Kernel,
        then: Then::GoesOn,
        is_it: |operation, model, seen| {
            let renames = matches!(operation, Operation::Rename { .. });
            renames && model.is_ok() && *seen == Err(Errno::STALE) && !is_root()
        },
        reason: "Without an index, the kernel does not see that two names are of one file, and fails where it has nothing to do.",
    },
    Row {
        by: By::Kernel,
        then: Then::Leaves,
        is_it: |operation, model, seen| {
            matches!(operation, Operation::CopyRange { .. }) && model.is_ok() && *seen == Err(Errno::XDEV)
        },
        reason: "The kernel copies no range between layers of two file systems. In one mount that is no answer.",
    },
];

/// When kernel overlayfs brings up the data of a file whose metadata it has already, which it does when the file is
/// opened for writing, the file is modified at that moment, though nobody wrote. Overfuse keeps the time.
pub const TIMES_SLIP: bool = true;

/// Whether the number of a file of this kind may change when Overfuse forgets it: a mark keeps it, and links, fifos and
/// devices carry no user.* mark. Kernel overlayfs has the same trouble.
pub fn may_change_number(kind: &str) -> bool {
    !is_root() && !["file", "dir"].contains(&kind)
}

/// Whether several names of a file of this kind stay one when they are below: for the same reason.
pub fn may_lose_links(kind: Kind) -> bool {
    may_change_number(kind_name(kind))
}

/// Whether Overfuse then needs a mark that the kernel does not follow in a user namespace, where it trusts none that
/// leads elsewhere: directories that `exist_below` were renamed, or a stack `has_links` which an index holds together.
pub fn is_beyond_user_marks(exist_below: bool, has_links: bool) -> bool {
    !is_root() && (exist_below || has_links)
}

/// What becomes of a subject whose answer differs from the model's, where that is known.
pub fn then(by: By, operation: &Operation, model: &Answer, seen: &Answer) -> Option<Then> {
    ROWS.iter().find(|row| row.by == by && (row.is_it)(operation, model, seen)).map(|row| row.then)
}
