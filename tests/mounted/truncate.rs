//! Truncation: shorter, longer, to nothing, by path and at open.

use crate::need;
use crate::support::check;

#[test]
fn files_grow_and_shrink_in_every_layer() {
    need!(fuse, overlay);
    for length in [0, 1, 4, 5, 4096, 100_000] {
        check("upper:\n f u 644 upper\n lower:\n f l 644 lower +user.k=v", |at| {
            at.truncate("u", length).gives("ok");
            at.truncate("l", length).gives("ok");
            at.read("u");
            at.read("l");
        });
    }
}

#[test]
fn truncating_at_open_keeps_all_but_the_content() {
    need!(ids, fuse, overlay);
    check("upper:\n lower:\n f l 640 65536*A @1000:1000 +user.k=v", |at| {
        at.write("l", "short").gives("ok");
        at.stat("l").gives("100640 1000:1000 5 bytes links=1");
    });
}

#[test]
fn what_was_cut_off_reads_as_zeros_when_it_grows_again() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 20000*A", |at| {
        at.truncate("l", 5000).gives("ok");
        at.truncate("l", 9000).gives("ok");
        at.append("l", "end").gives("ok");
        at.write_at("l", 7000, "middle").gives("ok");
    });
}

#[test]
fn a_directory_is_not_truncated() {
    need!(fuse, overlay);
    check("upper:\n lower:\n d d 755", |at| {
        at.truncate("d", 0).gives("EISDIR");
        at.truncate("nowhere", 0).gives("ENOENT");
    });
}
