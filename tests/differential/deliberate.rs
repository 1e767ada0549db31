//! Where a subject answers otherwise than the model, on purpose, with the reasons.

use crate::ground::By;
use crate::operations::{Answer, Operation};

/// An answer that differs.
struct Row {
    reason: &'static str,
    by: By,
    /// What follows in the sequence is not comparable for this subject.
    is_it: fn(operation: &Operation, model: &Answer, seen: &Answer) -> bool,
}

const ROWS: &[Row] = &[];

/// When kernel overlayfs brings up the data of a file whose metadata it has already, which it does when the file is
/// opened for writing, the file is modified at that moment, though nobody wrote. Overfuse keeps the time.
pub const TIMES_SLIP: bool = true;

/// Why the two answers differ, where that is meant to be so. The subject takes no further part.
pub fn reason(by: By, operation: &Operation, model: &Answer, seen: &Answer) -> Option<&'static str> {
    ROWS.iter().find(|row| row.by == by && (row.is_it)(operation, model, seen)).map(|row| row.reason)
}
