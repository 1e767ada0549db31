//! Making directories: plain ones, and ones that must hide a former entry of that name.

use crate::need;
use crate::support::check;

#[test]
fn a_new_directory_is_empty_and_has_its_mode() {
    need!(fuse, overlay);
    check("upper:\n lower:\n d below 755", |at| {
        at.mkdir("a", 0o755).gives("ok");
        at.mkdir("below/b", 0o700).gives("ok");
        at.mkdir("sticky", 0o1777).gives("ok");
        at.list("a").gives("ok");
        at.stat("below/b").gives("40700 0:0");
    });
}

#[test]
fn a_directory_over_a_whiteout_shows_nothing_of_the_old_one() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f d/x 644 x\n f d/sub/y 644 y\n lower:\n f d/z 644 z", |at| {
        for name in ["d/sub/y", "d/x", "d/z"] {
            at.unlink(name).gives("ok");
        }
        at.rmdir("d/sub").gives("ok");
        at.rmdir("d").gives("ok");
        at.mkdir("d", 0o700).gives("ok");
        at.list("d").gives("ok");
        at.create("d/x", 0o644, "new").gives("ok");
        at.list("d").gives("x");
    });
}

#[test]
fn a_directory_takes_the_name_of_a_removed_file() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f x 644 x", |at| {
        at.unlink("x").gives("ok");
        at.mkdir("x", 0o755).gives("ok");
        at.create("x/in", 0o644, "x").gives("ok");
        at.unlink("x/in").gives("ok");
        at.rmdir("x").gives("ok");
        at.stat("x").gives("ENOENT");
    });
}

#[test]
fn an_existing_name_is_refused() {
    need!(fuse, overlay);
    check("upper:\n d u 755\n lower:\n d l 755\n f f 644 x\n l s nowhere", |at| {
        for name in ["u", "l", "f", "s"] {
            at.mkdir(name, 0o755).gives("EEXIST");
        }
        at.mkdir("f/d", 0o755).gives("ENOTDIR");
        at.mkdir("nowhere/d", 0o755).gives("ENOENT");
    });
}

#[test]
fn directories_nest_below_a_lower_one() {
    need!(fuse, overlay);
    check("upper:\n lower:\n d a/b 711", |at| {
        for path in ["a/b/c", "a/b/c/d", "a/b/c/d/e"] {
            at.mkdir(path, 0o755).gives("ok");
        }
        at.create("a/b/c/d/e/f", 0o644, "deep").gives("ok");
    });
}
