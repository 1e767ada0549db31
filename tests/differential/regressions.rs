//! Bugs that random sequences found, one named test each.

use rustix::fs::OFlags;

use crate::ground::{By, Ground};
use crate::need;
use crate::operations::{How, Operation};
use crate::sequence::Sequence;

#[track_caller]
fn check(layers: &str, operations: &[Operation]) {
    let ground = Ground::new();
    for (forgetful, scattered) in [(false, false), (true, true)] {
        let sequence = Sequence { layers: layers.into(), operations: operations.into(), forgetful, scattered };
        if let Err(difference) = sequence.run(&ground, &[By::Union, By::Mount, By::Kernel]) {
            panic!("{difference}");
        }
    }
}

fn append(path: &str) -> Operation {
    let flags = OFlags::WRONLY | OFlags::APPEND;
    Operation::Write { path: path.into(), flags, offset: 0, length: 5, byte: 'a' }
}

#[test]
fn a_whiteout_in_a_directory_without_lower_parts_is_no_entry() {
    need!(fuse, overlay);
    let path = || "a/a".into();
    check(
        "upper:\n lower:\n o a 744\n o a/a 744\n w a/a/a",
        &[
            Operation::List { path: path() },
            Operation::Rmdir { path: path() },
            Operation::Mkdir { path: path(), mode: 0o755 },
            Operation::Remount { swap: false },
            Operation::List { path: path() },
        ],
    );
}

#[test]
fn a_lower_file_that_is_open_by_one_name_and_written_by_another_is_one_file() {
    need!(fuse, overlay);
    check(
        "upper:\n lower:\n f a 644 x\n h b a",
        &[
            Operation::Open { slot: 0, path: "b".into(), flags: OFlags::RDWR, mode: 0 },
            append("a"),
            Operation::ReadOpen { slot: 0 },
            Operation::WriteOpen { slot: 0, offset: 1, length: 3, byte: 'w' },
            Operation::Remount { swap: false },
        ],
    );
}

#[test]
fn a_hard_linked_file_and_a_directory_are_exchanged_and_exchanged_back() {
    need!(fuse, overlay);
    check(
        "upper:\n lower:\n f a 644 x\n h b a\n d c 755\n f c/d 644 y",
        &[
            Operation::Rename { from: "a".into(), to: "c".into(), how: How::Exchange },
            Operation::Rename { from: "c".into(), to: "a".into(), how: How::Exchange },
            Operation::Remount { swap: false },
        ],
    );
}

#[test]
fn a_lower_file_that_is_removed_while_it_is_open_has_no_links() {
    need!(fuse, overlay);
    check(
        "upper:\n lower:\n f a 644 x",
        &[
            Operation::Open { slot: 0, path: "a".into(), flags: OFlags::RDONLY, mode: 0 },
            Operation::Unlink { path: "a".into() },
            Operation::StatOpen { slot: 0 },
            Operation::ChmodOpen { slot: 0, mode: 0o600 },
            Operation::StatOpen { slot: 0 },
        ],
    );
}

#[test]
fn chmod_of_an_open_removed_lower_directory_changes_no_other_directory() {
    need!(fuse, overlay);
    check(
        "upper:\n lower:\n d a 755",
        &[
            Operation::Open { slot: 0, path: "a".into(), flags: OFlags::DIRECTORY, mode: 0 },
            Operation::Rmdir { path: "a".into() },
            Operation::ChmodOpen { slot: 0, mode: 0o700 },
            Operation::StatOpen { slot: 0 },
            Operation::Look,
        ],
    );
}

#[test]
fn a_directory_that_is_renamed_to_its_own_name_stays() {
    need!(fuse, overlay);
    let (from, to) = (String::from("a"), String::from("a"));
    check(
        "upper:\n lower:\n d b 755",
        &[
            Operation::Mkdir { path: "a".into(), mode: 0o755 },
            Operation::Rename { from, to, how: How::Replace },
            Operation::Look,
        ],
    );
}

#[test]
fn a_directory_made_over_a_whiteout_is_listed_without_the_entries_that_the_whiteout_hides() {
    need!(fuse, overlay);
    check(
        "upper:\n lower:\n w d\n lower:\n o d 744\n f d/old 644 x",
        &[
            Operation::Mkdir { path: "d".into(), mode: 0o644 },
            Operation::List { path: ".".into() },
            Operation::List { path: "d".into() },
        ],
    );
}
