//! Renames: over every kind of target, with and without replacing it, and exchanges.

use rustix::fs::RenameFlags;

use crate::need;
use crate::support::{At, check};

const NOREPLACE: RenameFlags = RenameFlags::NOREPLACE;
const EXCHANGE: RenameFlags = RenameFlags::EXCHANGE;

#[test]
fn files_move_within_and_between_directories() {
    need!(ids, fuse, overlay);
    check("upper:\n f u 644 u\n lower:\n f l 600 l @1000:1000 +user.k=v\n d d 755\n f d/in 644 in", |at| {
        at.rename("u", "u2").gives("ok");
        at.rename("l", "l2").gives("ok");
        at.rename("u2", "d/u3").gives("ok");
        at.rename("d/in", "out").gives("ok");
        at.list("").gives("d/ l2 out");
        at.stat("l2").gives("100600 1000:1000 1 bytes links=1");
        at.read("l").gives("ENOENT");
    });
}

#[test]
fn a_file_replaces_a_file_of_any_layer() {
    need!(fuse, overlay);
    check("upper:\n f u 644 u\n f u2 644 u2\n lower:\n f l 644 l\n f l2 644 l2\n f l3 644 l3\n l s target", |at| {
        at.rename("u", "l").gives("ok");
        at.rename("l2", "u2").gives("ok");
        at.rename("l3", "s").gives("ok");
        at.read("l").gives("u");
        at.read("u2").gives("l2");
        at.list("").gives("l s u2");
    });
}

#[test]
fn a_file_takes_the_place_of_a_whiteout_and_leaves_one() {
    need!(fuse, overlay);
    check("upper:\n w x\n f u 644 u\n lower:\n f x 644 old\n f l 644 l\n f y 644 y", |at| {
        at.rename("u", "x").gives("ok");
        at.unlink("y").gives("ok");
        at.rename("l", "y").gives("ok");
        at.list("").gives("x y");
    });
}

#[test]
fn an_upper_directory_moves_with_its_content() {
    need!(fuse, overlay);
    check("upper:\n f d/sub/x 644 x\n lower:\n d to 755", |at| {
        at.rename("d", "e").gives("ok");
        at.rename("e", "to/f").gives("ok");
        at.read("to/f/sub/x").gives("x");
        at.rename("to", "to/f/g").gives("EINVAL");
    });
}

#[test]
fn a_new_directory_moves_where_a_lower_one_was() {
    need!(fuse, overlay);
    check("upper:\n w gone\n lower:\n f gone/old 644 x\n d empty 700", |at| {
        for (made, target) in [("a", "gone"), ("b", "empty")] {
            at.mkdir(made, 0o755).gives("ok");
            at.create(&format!("{made}/new"), 0o644, "x").gives("ok");
            at.rename(made, target).gives("ok");
            at.list(target).gives("new");
        }
    });
}

#[test]
fn a_directory_replaces_only_an_empty_directory() {
    need!(fuse, overlay);
    check(
        "upper:\n f d/x 644 x\n d empty 755\n w hollow/x\n lower:\n f full/x 644 x\n f hollow/x 644 x\n f file 644 x",
        |at| {
            at.rename("d", "full").gives("ENOTEMPTY");
            at.rename("d", "file").gives("ENOTDIR");
            at.rename("file", "d").gives("EISDIR");
            at.rename("d", "empty").gives("ok");
            at.rename("empty", "hollow").gives("ok");
            at.list("hollow").gives("x");
        },
    );
}

#[test]
fn noreplace_refuses_what_is_seen_and_only_that() {
    need!(fuse, overlay);
    check("upper:\n f u 644 u\n w gone\n lower:\n f l 644 l\n d d 755\n f gone 644 x", |at| {
        at.rename_with("u", "l", NOREPLACE).gives("EEXIST");
        at.rename_with("l", "u", NOREPLACE).gives("EEXIST");
        at.rename_with("l", "d", NOREPLACE).gives("EEXIST");
        at.rename_with("u", "gone", NOREPLACE).gives("ok");
        at.rename_with("l", "new", NOREPLACE).gives("ok");
        at.list("").gives("d/ gone new");
    });
}

#[test]
fn exchange_swaps_files_directories_and_links() {
    need!(fuse, overlay);
    check(
        "upper:\n f u 644 u\n d d 755\n f d/in 644 in\n d e 700\n lower:\n f l 600 l\n f l2 644 l2\n l s target",
        |at| {
            at.rename_with("u", "l", EXCHANGE).gives("ok");
            at.rename_with("l2", "s", EXCHANGE).gives("ok");
            at.rename_with("d", "e", EXCHANGE).gives("ok");
            at.rename_with("e", "u", EXCHANGE).gives("ok");
            at.read("l").gives("u");
            at.readlink("l2").gives("target");
            at.read("u/in").gives("in");
            at.rename_with("u", "nowhere", EXCHANGE).gives("ENOENT");
        },
    );
}

#[test]
fn missing_and_mixed_names_are_reported() {
    need!(fuse, overlay);
    check("upper:\n d d 755\n lower:\n f x 644 x", |at| {
        at.rename("nowhere", "y").gives("ENOENT");
        at.rename("x", "nowhere/y").gives("ENOENT");
        at.rename("x", "x").gives("ok");
        at.rename("d", "d/e").gives("EINVAL");
        at.rename("x", "x/y").gives("ENOTDIR");
    });
}

/// In a user namespace the kernel treats the two names as different files.
#[test]
fn names_of_one_file_renamed_over_each_other_both_stay() {
    need!(root, fuse, overlay);
    check("upper:\n f a 644 x\n h b a\n lower:\n f l 644 l", |at| {
        at.rename("a", "b").gives("ok");
        at.link("l", "m").gives("ok");
        at.rename("l", "m").gives("ok");
        at.list("").gives("a b l m");
    });
}

#[test]
fn a_replaced_file_stays_readable_for_those_who_have_it_open() {
    need!(fuse, overlay);
    let content = |file: &mut std::fs::File| std::io::read_to_string(file);
    check("upper:\n f u 644 upper\n lower:\n f l 644 lower\n f m 644 m", |at: &At| {
        let mut lower = std::fs::File::open(at.path("l")).expect("open a lower file");
        at.rename("u", "l").gives("ok");
        at.note("read the replaced one", content(&mut lower)).gives("lower");
        let mut moved = std::fs::File::open(at.path("m")).expect("open a lower file");
        at.rename("m", "n").gives("ok");
        at.append("n", "+").gives("ok");
        at.note("read the moved one", content(&mut moved));
    });
}

#[test]
fn a_name_moves_there_and_back_again() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f x 644 x\n f d/y 644 y", |at| {
        at.rename("x", "d/x").gives("ok");
        at.rename("d/x", "x").gives("ok");
        at.rename("d/y", "d/z").gives("ok");
        at.rename("d/z", "d/y").gives("ok");
        at.list("d").gives("y");
        at.read("x").gives("x");
    });
}
