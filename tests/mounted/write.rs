//! Writing: at offsets, behind the end, appended by several writers.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;

use crate::need;
use crate::support::check;

#[test]
fn a_write_in_the_middle_keeps_what_is_around_it() {
    need!(fuse, overlay);
    check("upper:\n f u 644 20000*U\n lower:\n f l 644 20000*L", |at| {
        for name in ["u", "l"] {
            at.write_at(name, 4090, "across a page").gives("ok");
            at.write_at(name, 0, "first").gives("ok");
            at.write_at(name, 19_998, "past the end").gives("ok");
        }
    });
}

#[test]
fn a_write_behind_the_end_leaves_zeros_between() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 x", |at| {
        at.write_at("l", 10_000, "far").gives("ok");
        at.stat("l").gives("100644 0:0 10003 bytes links=1");
    });
}

#[test]
fn appended_bytes_go_to_the_end_wherever_that_is_by_then() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 start", |at| {
        let appended = || {
            let open = || OpenOptions::new().append(true).open(at.path("l"));
            let (mut a, mut b) = (open()?, open()?);
            a.write_all(b"-a")?;
            b.write_all(b"-b")?;
            OpenOptions::new().write(true).open(at.path("l"))?.write_all_at(b"-longer-", 9)?;
            a.write_all(b"-c")
        };
        at.note("append twice", appended().map(|()| "")).gives("ok");
        at.read("l").gives("start-a-b-longer--c");
    });
}

#[test]
fn a_large_write_arrives_whole() {
    need!(fuse, overlay);
    let large = "0123456789abcde\n".repeat(300_000);
    check("upper:\n lower:\n f l 644 x", |at| {
        at.create("new", 0o644, &large).gives("ok");
        at.write("l", &large).gives("ok");
    });
}
