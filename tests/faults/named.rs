//! What went wrong once, by name. Each of these has failed before.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use overfuse::sys::faults::{self, Armed, Fault, Scope};
use overfuse::sys::{Errno, Result};
use overfuse::union::{How, Remove, Union};

use crate::ground::{Ground, Mode};
use crate::operations::{
    IMMUTABLE, NO_DUMP, OPERATIONS, change, everything, node, owner, perm, remove, rename, rename_leaving, set_flags,
    size, write,
};
use crate::tree;

type Test = (&'static str, fn(&Ground));

const TESTS: &[Test] = &[
    ("a count of names that fails is no error of a removal", removal_without_count),
    ("a count of names that fails is no error of a rename", rename_without_count),
    ("times of a parent that fail are no error of a copy-up", copy_up_without_times),
    ("a rename that leaves a whiteout happens or does not", leaving_whiteout),
    ("a write asks what is protected", write_to_protected),
    ("a directory that cannot replace one of whiteouts leaves it as it was", over_whiteouts),
    ("data that cannot be brought into a metacopy leaves its times", data_of_metacopy),
    ("a metacopy that cannot be emptied keeps its times", emptied_metacopy),
    ("owner, mode and times change together", attributes_together),
    ("a size stays when what comes with it fails", size_first),
    ("flags change together", flags_together),
    ("a file of the index goes when its last name is gone, and not before", index_without_names),
];

/// Runs those whose names contain `only`; answers how many failed.
pub fn run(only: &str) -> usize {
    let ground = Ground::new(Mode::ALL[0]);
    let fails = |(name, test): &&Test| {
        ground.renew();
        let failed = catch_unwind(AssertUnwindSafe(|| test(&ground))).is_err();
        println!("{name}: {}", if failed { "FAILED" } else { "ok" });
        failed
    };
    TESTS.iter().filter(|(name, _)| name.contains(only)).filter(fails).count()
}

/// What came of an operation of which one call failed.
struct Cut {
    call: &'static str,
    result: Result<()>,
    old: String,
    union: Union,
}

/// Does `act` once for each of its changing calls, which fails, in a union that `begin` opens; `then` sees what came of
/// it. Answers after which calls it succeeded all the same.
fn cut(begin: impl Fn() -> Union, act: impl Fn(&Union) -> Result<()>, then: impl Fn(Cut)) -> BTreeSet<&'static str> {
    let mut succeeded = BTreeSet::new();
    for nth in 1.. {
        let union = begin();
        let old = tree::of_union(&union);
        let armed = faults::arm(Scope::Thread, nth, Fault::Fail(Errno::IO));
        let result = act(&union);
        let Some(call) = Armed::hit(&armed) else { break };
        drop(armed);
        if result.is_ok() {
            succeeded.insert(call);
        }
        then(Cut { call, result, old, union });
    }
    succeeded
}

/// An error must mean that nothing has happened.
fn nothing_after_an_error(cut: Cut) {
    let Cut { call, result, old, union } = cut;
    if result.is_err() {
        tree::compare(&old, &tree::of_union(&union)).unwrap_or_else(|diff| panic!("after {call} failed:\n{diff}"));
    }
}

fn anew(ground: &Ground) -> Union {
    ground.renew();
    ground.open()
}

/// Of the names of a file in the index, `h1` is in the lower layer alone.
fn with_hidden_name(ground: &Ground) -> Union {
    for nth in 1.. {
        ground.clear();
        let union = ground.open();
        let armed = faults::arm(Scope::Thread, nth, Fault::Fail(Errno::NOSPC));
        let changed = change(&union, "h1", perm());
        match armed.hit() {
            Some("linkat") if changed.is_ok() => return union,
            Some(_) => {}
            None => panic!("no name is linked"),
        }
    }
    unreachable!()
}

fn is_there(union: &Union, name: &str) -> bool {
    node(union, name).is_ok()
}

fn removal_without_count(ground: &Ground) {
    let act = |union: &Union| remove(union, "h1", Remove::File);
    let after = cut(
        || with_hidden_name(ground),
        act,
        |cut| {
            assert_eq!(cut.result.is_err(), is_there(&cut.union, "h1"), "after {} failed", cut.call);
            assert_eq!(perm_of(&cut.union, "h2"), 0o604);
            nothing_after_an_error(cut);
        },
    );
    assert!(after.contains("setxattr"), "the count is not written: {after:?}");
}

fn rename_without_count(ground: &Ground) {
    let begin = || {
        let union = with_hidden_name(ground);
        write(&union, "other").expect("copy a file up");
        union
    };
    let act = |union: &Union| rename(union, "other", "h1", How::Replace);
    let after = cut(begin, act, |cut| {
        assert_eq!(cut.result.is_err(), is_there(&cut.union, "other"), "after {} failed", cut.call);
        assert_eq!(perm_of(&cut.union, "h1"), if cut.result.is_ok() { 0o600 } else { 0o604 });
        nothing_after_an_error(cut);
    });
    assert!(after.contains("setxattr"), "the count is not written: {after:?}");
}

fn copy_up_without_times(ground: &Ground) {
    let act = |union: &Union| write(union, "ldir/in");
    let after = cut(
        || anew(ground),
        act,
        |cut| {
            // Whatever came of it, it can be done again.
            assert_eq!(act(&cut.union), Ok(()), "after {} failed", cut.call);
        },
    );
    assert!(after.contains("utimensat"), "no times are set back: {after:?}");
}

fn leaving_whiteout(ground: &Ground) {
    let act = |union: &Union| rename_leaving(union, "below", "dir/new");
    cut(|| anew(ground), act, nothing_after_an_error);
}

fn write_to_protected(ground: &Ground) {
    const APPEND_ONLY: u32 = 0x20;
    let union = ground.open();
    for name in ["above", "below", "meta"] {
        let id = node(&union, name).expect("a file");
        set_flags(&union, name, IMMUTABLE).expect("protect a file");
        assert_eq!(union.write(id, 0, b"x"), Err(Errno::PERM), "{name}");
        set_flags(&union, name, APPEND_ONLY).expect("protect a file");
        let end = union.attr(id).expect("its size").stat.size;
        assert_eq!(union.write(id, 0, b"x"), Err(Errno::PERM), "{name}");
        assert_eq!(union.write(id, end, b"x"), Ok(1), "{name}");
    }
}

/// Cuts an operation of the sweep.
fn cut_named(ground: &Ground, name: &str) {
    let operation = OPERATIONS.iter().find(|operation| operation.name == name).expect("an operation of the sweep");
    cut(|| anew(ground), operation.act, nothing_after_an_error);
}

fn over_whiteouts(ground: &Ground) {
    cut_named(ground, "rename dir over whiteouts");
}

fn data_of_metacopy(ground: &Ground) {
    cut_named(ground, "write hard-linked");
}

fn emptied_metacopy(ground: &Ground) {
    cut_named(ground, "empty metacopy");
}

fn attributes_together(ground: &Ground) {
    // A program with rights that a change of owner takes.
    let begin = || {
        let union = anew(ground);
        let program = node(&union, "above").expect("a file");
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let key = std::ffi::OsStr::new("security.capability");
        union.set_xattr(program, key, &capability, overfuse::union::Wanted::Any).expect("give rights");
        union
    };
    cut(begin, |union| change(union, "above", everything()), nothing_after_an_error);
    let after = cut(begin, |union| change(union, "above", owner()), nothing_after_an_error);
    assert_eq!(after, BTreeSet::new());
}

fn size_first(ground: &Ground) {
    let both = || overfuse::union::Change { size: size(3).size, ..everything() };
    cut(
        || anew(ground),
        |union| change(union, "above", both()),
        |cut| {
            let attr = cut.union.attr(node(&cut.union, "above").expect("a file")).expect("its attributes");
            assert_eq!((attr.stat.uid, attr.stat.size), (7, if cut.call == "ftruncate" { 8 } else { 3 }));
        },
    );
}

fn flags_together(ground: &Ground) {
    for flags in [NO_DUMP | IMMUTABLE, NO_DUMP, IMMUTABLE] {
        cut(|| anew(ground), |union| set_flags(union, "above", flags), nothing_after_an_error);
    }
}

fn index_without_names(ground: &Ground) {
    let indexed = || fs::read_dir(ground.upper().1.join("index")).map_or(0, Iterator::count);
    let two_removed = || {
        let union = with_hidden_name(ground);
        remove(&union, "h2", Remove::File).expect("remove a name");
        remove(&union, "h3", Remove::File).expect("remove a name");
        drop(union);
        ground.open()
    };
    let union = two_removed();
    assert_eq!((perm_of(&union, "h1"), indexed()), (0o604, 1), "the name that is below alone keeps the file");
    drop(union);
    let act = |union: &Union| remove(union, "h1", Remove::File);
    let after = cut(two_removed, act, |cut| {
        let Cut { call, result, union, .. } = cut;
        drop(union);
        if call == "unlinkat" && result.is_ok() {
            assert_eq!(indexed(), 1, "what could not be removed is there");
        }
        let again = ground.open();
        assert_eq!(is_there(&again, "h1"), result.is_err(), "after {call} failed");
        assert_eq!(indexed(), usize::from(result.is_err()), "after {call} failed");
    });
    assert!(after.contains("unlinkat"), "it is not removed from the index: {after:?}");
}

fn perm_of(union: &Union, name: &str) -> u32 {
    union.attr(node(union, name).expect("a name")).expect("its attributes").stat.perm
}
