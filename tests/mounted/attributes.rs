//! Changes of mode, owner and times are kept in the upper layer and override the lower layers.

use std::fs::File;
use std::time::{Duration, UNIX_EPOCH};

use crate::need;
use crate::support::check;

#[test]
fn the_mode_of_a_lower_file_changes_and_nothing_else_does() {
    need!(ids, fuse, overlay);
    check("upper:\n lower:\n f x 644 content @1000:1001 +user.k=v\n d d 755\n f d/y 600 y", |at| {
        at.chmod("x", 0o4711).gives("ok");
        at.chmod("d", 0o1700).gives("ok");
        at.chmod("d/y", 0).gives("ok");
        at.stat("x").gives("104711 1000:1001 7 bytes links=1");
    });
}

#[test]
fn the_owner_of_anything_changes() {
    need!(ids, fuse, overlay);
    check("upper:\n f u 644 u\n lower:\n f x 644 x\n d d 755\n l s x\n p p 644", |at| {
        for name in ["u", "x", "d", "s", "p"] {
            at.chown(name, 1000, 1001).gives("ok");
        }
        at.stat("d").gives("40755 1000:1001");
        at.stat("s").gives("120777 1000:1001 1 bytes links=1");
    });
}

#[test]
fn a_new_owner_takes_the_set_id_bits_away() {
    need!(ids, fuse, overlay);
    check("upper:\n f u 6755 u\n lower:\n f x 6755 x\n d d 6755", |at| {
        for name in ["u", "x", "d"] {
            at.chown(name, 1000, 1000).gives("ok");
            at.stat(name);
        }
    });
}

#[test]
fn times_are_kept_to_the_nanosecond() {
    need!(fuse, overlay);
    check("upper:\n f u 644 u\n lower:\n f x 644 x\n d d 755\n l s x", |at| {
        for (index, name) in ["u", "x", "d", "s", ""].into_iter().enumerate() {
            at.utimes(name, 1_100_000_000 + index as i64, 123_456_789).gives("ok");
        }
        at.utimes("x", -1, 5).gives("ok");
    });
}

#[test]
fn times_are_set_through_an_open_file() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f x 644 x", |at| {
        let time = UNIX_EPOCH + Duration::new(1_200_000_000, 7);
        let set = || File::options().write(true).open(at.path("x"))?.set_modified(time);
        at.note("futimens x", set().map(|()| "")).gives("ok");
    });
}

#[test]
fn attributes_of_the_root_change() {
    need!(ids, fuse, overlay);
    check("upper:\n lower:\n f x 644 x", |at| {
        at.chmod("", 0o711).gives("ok");
        at.chown("", 5, 6).gives("ok");
        at.stat("").gives("40711 5:6");
    });
}

#[test]
fn what_is_missing_has_no_attributes() {
    need!(fuse, overlay);
    check("upper:\n w gone\n lower:\n f gone 644 x\n", |at| {
        for name in ["gone", "never"] {
            at.chmod(name, 0o600).gives("ENOENT");
            at.chown(name, 1, 1).gives("ENOENT");
            at.utimes(name, 1, 1).gives("ENOENT");
        }
    });
}
