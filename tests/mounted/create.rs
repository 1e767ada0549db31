//! Creating files: in upper and merged directories, over whiteouts, and with parents that must be copied up.

use std::fs::OpenOptions;

use crate::need;
use crate::support::check;

#[test]
fn a_new_file_has_the_mode_that_was_asked_for() {
    need!(fuse, overlay);
    check("upper:\n lower:\n", |at| {
        at.create("plain", 0o644, "x").gives("ok");
        at.create("secret", 0o600, "x").gives("ok");
        at.create("set-id", 0o4755, "x").gives("ok");
        at.create("unreadable", 0, "").gives("ok");
    });
}

#[test]
fn a_file_that_exists_in_any_layer_is_not_created_again() {
    need!(fuse, overlay);
    check("upper:\n f u 644 u\n lower:\n f l 644 l\n d d 755\n l s nowhere", |at| {
        for name in ["u", "l", "d", "s"] {
            at.create(name, 0o644, "new").gives("EEXIST");
        }
    });
}

#[test]
fn a_file_is_created_over_a_whiteout_and_shows_nothing_of_the_old() {
    need!(fuse, overlay);
    check("upper:\n w x\n w d\n lower:\n f x 600 old +user.k=v\n f d/y 644 y", |at| {
        at.create("x", 0o644, "new").gives("ok");
        at.create("d", 0o640, "a file now").gives("ok");
        at.stat("x").gives("100644 0:0 3 bytes links=1");
        at.list_xattrs("x").gives("[]");
    });
}

#[test]
fn what_was_removed_can_be_created_again() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f x 644 old\n f d/y 644 old", |at| {
        at.unlink("x").gives("ok");
        at.create("x", 0o600, "new").gives("ok");
        at.unlink("d/y").gives("ok");
        at.create("d/y", 0o600, "new").gives("ok");
        at.unlink("x").gives("ok");
        at.read("x").gives("ENOENT");
    });
}

#[test]
fn the_parents_come_up_with_their_attributes() {
    need!(ids, fuse, overlay);
    check("upper:\n lower:\n d a 750 @1000:1001 +user.k=v\n d a/b 1777\n d a/b/c 2755 @7:8", |at| {
        at.create("a/b/c/new", 0o644, "x").gives("ok");
        at.stat("a").gives("40750 1000:1001");
        at.stat("a/b").gives("41777 0:0");
        at.get_xattr("a", "user.k").gives("v");
    });
}

#[test]
fn a_set_group_id_directory_passes_its_group_on() {
    need!(root, fuse, overlay);
    check("upper:\n d u 2775 @0:1234\n lower:\n d l 2775 @0:1234", |at| {
        for dir in ["u", "l"] {
            at.create(&format!("{dir}/file"), 0o644, "x").gives("ok");
            at.stat(&format!("{dir}/file")).gives("100644 0:1234 1 bytes links=1");
            at.mkdir(&format!("{dir}/dir"), 0o755).gives("ok");
            at.stat(&format!("{dir}/dir")).gives("42755 0:1234");
        }
    });
}

#[test]
fn a_missing_or_unfit_parent_is_reported() {
    need!(fuse, overlay);
    check("upper:\n w gone\n lower:\n f file 644 x\n d gone 755", |at| {
        at.create("nowhere/x", 0o644, "x").gives("ENOENT");
        at.create("gone/x", 0o644, "x").gives("ENOENT");
        at.create("file/x", 0o644, "x").gives("ENOTDIR");
    });
}

#[test]
fn open_with_create_takes_the_existing_lower_file() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f x 600 old", |at| {
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(at.path("x"));
        at.note("open with O_CREAT", opened.map(|_| "")).gives("ok");
        at.stat("x").gives("100600 0:0 3 bytes links=1");
    });
}
