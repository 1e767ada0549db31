//! What random sequences once found, by name.

use crate::need;
use crate::operations::{How, Operation};
use crate::sequence::Sequence;

#[track_caller]
fn check(layers: &str, operations: &[Operation]) {
    let sequence = Sequence { layers: layers.into(), operations: operations.into() };
    if let Err(difference) = sequence.run() {
        panic!("{difference}");
    }
}

#[test]
fn a_whiteout_in_a_directory_that_merges_with_nothing_is_no_entry() {
    need!(root, fuse, overlay);
    let path = || "a/a".into();
    check(
        "upper:\n lower:\n o a 744\n o a/a 744\n w a/a/a",
        &[
            Operation::List { path: path() },
            Operation::Rmdir { path: path() },
            Operation::Mkdir { path: path(), mode: 0o755 },
            Operation::Remount,
            Operation::List { path: path() },
        ],
    );
}

#[test]
fn a_name_of_a_lower_hard_link_that_is_opened_for_writing_becomes_a_file_of_its_own() {
    need!(root, fuse, overlay);
    check(
        "upper:\n lower:\n f a 644 x\n h b a",
        &[
            Operation::Open { slot: 0, path: "b".into(), writable: true },
            Operation::Append { path: "a".into() },
            Operation::ReadOpen { slot: 0 },
            Operation::WriteOpen { slot: 0, offset: 1 },
            Operation::Remount,
        ],
    );
}

#[test]
fn an_exchange_that_is_refused_copies_nothing_up() {
    need!(root, fuse, overlay);
    check(
        "upper:\n lower:\n f a 644 x\n h b a\n d c 755\n f c/d 644 y",
        &[
            Operation::Rename { from: "a".into(), to: "c".into(), how: How::Exchange },
            Operation::Rename { from: "c".into(), to: "a".into(), how: How::Exchange },
            Operation::Remount,
        ],
    );
}
