//! Symbolic links are kept as they are: the union treats the target as text and never follows it.

use crate::need;
use crate::support::check;

#[test]
fn a_link_keeps_its_target_as_text() {
    need!(fuse, overlay);
    let long = "x/".repeat(2000);
    check("upper:\n lower:\n d d 755", |at| {
        at.symlink("target", "d/relative").gives("ok");
        at.symlink("/etc/passwd", "absolute").gives("ok");
        at.symlink("../../../..", "up").gives("ok");
        at.symlink(&long, "long").gives("ok");
        at.readlink("up").gives("../../../..");
        at.symlink("other", "up").gives("EEXIST");
        at.readlink("d").gives("EINVAL");
    });
}

#[test]
fn a_lower_link_comes_up_as_a_link() {
    need!(ids, fuse, overlay);
    check("upper:\n lower:\n l s target @1000:1000\n f target 644 x", |at| {
        at.chown("s", 7, 8).gives("ok");
        at.utimes("s", 1_100_000_000, 1).gives("ok");
        at.readlink("s").gives("target");
        at.read("s").gives("x");
    });
}

#[test]
fn writing_through_a_link_changes_its_target() {
    need!(fuse, overlay);
    check("upper:\n lower:\n l d/s ../target\n f target 600 old\n l dangling nowhere\n l loop loop", |at| {
        at.write("d/s", "new").gives("ok");
        at.read("target").gives("new");
        at.read("dangling").gives("ENOENT");
        at.read("loop").gives("ELOOP");
    });
}

#[test]
fn a_link_to_a_directory_leads_through_the_union() {
    need!(fuse, overlay);
    check("upper:\n l s d\n lower:\n f d/a 644 a\n lower:\n f d/b 644 b", |at| {
        at.list("s").gives("a b");
        at.create("s/new", 0o644, "x").gives("ok");
        at.unlink("s/a").gives("ok");
        at.list("d").gives("b new");
    });
}

#[test]
fn a_link_replaces_what_was_removed() {
    need!(fuse, overlay);
    check("upper:\n w d\n lower:\n f x 644 x\n f d/y 644 y", |at| {
        at.unlink("x").gives("ok");
        at.symlink("d", "x").gives("ok");
        at.symlink("x", "d").gives("ok");
        at.unlink("d").gives("ok");
        at.stat("d").gives("ENOENT");
    });
}
