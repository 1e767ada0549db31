//! What a stack shows: the topmost layer decides, directories merge, whiteouts and opaque marks hide.

use crate::need;
use crate::support::{check, check_read_only};

#[test]
fn the_topmost_file_wins() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f x 644 new\n lower:\n f x 600 old", |at| {
        at.read("x").gives("new");
        at.stat("x").gives("100644 0:0 3 bytes links=1");
    });
}

#[test]
fn directories_merge_with_the_attributes_of_the_topmost() {
    need!(ids, fuse, overlay);
    check(
        "upper:
         d d 750 @1000:1000 +user.from=upper
         f d/u 644 upper
         lower:
         d d 700 +user.from=middle
         f d/m 644 middle
         lower:
         d d 777
         f d/b 644 bottom",
        |at| {
            at.list("d").gives("b m u");
            at.stat("d").gives("40750 1000:1000");
            at.get_xattr("d", "user.from").gives("upper");
        },
    );
}

#[test]
fn a_whiteout_hides_what_is_below_it_alone() {
    need!(fuse, overlay);
    check("upper:\n w a\n lower:\n f a 644 a\n f b 644 b\n lower:\n w b\n f c 644 c\n lower:\n f b 644 old", |at| {
        at.read("a").gives("ENOENT");
        at.read("b").gives("b");
        at.list("").gives("b c");
    });
}

#[test]
fn a_directory_above_a_whiteout_shows_nothing_from_below_it() {
    need!(fuse, overlay);
    check("upper:\n d d 755\n f d/new 644 x\n lower:\n w d\n lower:\n f d/old 644 x", |at| {
        at.list("d").gives("new");
        at.stat("d/old").gives("ENOENT");
    });
}

#[test]
fn an_opaque_directory_hides_the_directories_below_it() {
    need!(fuse, overlay);
    check("upper:\n f d/top 644 x\n lower:\n o d 755\n f d/middle 644 x\n lower:\n f d/bottom 644 x", |at| {
        at.list("d").gives("middle top");
        at.stat("d/bottom").gives("ENOENT");
    });
}

#[test]
fn an_opaque_directory_hides_whole_subtrees() {
    need!(fuse, overlay);
    check("upper:\n o a 755\n d a/b 755\n lower:\n f a/b/x 644 x\n f a/c/y 644 y", |at| {
        at.list("a").gives("b/");
        at.list("a/b").gives("ok");
        at.stat("a/c").gives("ENOENT");
    });
}

#[test]
fn a_file_in_the_middle_separates_the_directories_around_it() {
    need!(fuse, overlay);
    check("upper:\n f d/top 644 x\n lower:\n f d 644 file\n lower:\n f d/bottom 644 x", |at| {
        at.list("d").gives("top");
    });
}

#[test]
fn a_type_may_change_from_layer_to_layer() {
    need!(fuse, overlay);
    check(
        "upper:\n l a target\n f b 644 x\n d c 755\n lower:\n f a 644 x\n f b/below 644 x\n l c elsewhere\n f target 644 x",
        |at| {
            at.readlink("a").gives("target");
            at.read("a").gives("x");
            at.stat("b/below").gives("ENOTDIR");
            at.list("c").gives("ok");
        },
    );
}

#[test]
fn a_whiteout_inside_a_merged_directory_is_not_listed() {
    need!(fuse, overlay);
    check("upper:\n w d/x\n lower:\n f d/x 644 x\n f d/y 644 y\n lower:\n f d/x 644 old", |at| {
        at.list("d").gives("y");
        at.stat("d/x").gives("ENOENT");
    });
}

#[test]
fn a_whiteout_of_nothing_hides_nothing() {
    need!(fuse, overlay);
    check("upper:\n w a\n w d/b\n lower:\n f d/c 644 c", |at| {
        at.list("").gives("d/");
        at.list("d").gives("c");
    });
}

#[test]
fn a_stack_of_lower_layers_alone_merges_as_well() {
    need!(fuse, overlay);
    check_read_only("lower:\n w x\n f d/a 644 a\n lower:\n f x 644 x\n f d/b 644 b\n lower:\n f d/a 644 old", |at| {
        at.list("").gives("d/");
        at.list("d").gives("a b");
        at.read("d/a").gives("a");
    });
}

#[test]
fn names_that_no_layer_could_hold_are_refused() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f x 644 x", |at| {
        at.stat(&"n".repeat(255)).gives("ENOENT");
        at.stat(&"n".repeat(256)).gives("ENAMETOOLONG");
        at.stat("x/y").gives("ENOTDIR");
        at.create(&"n".repeat(255), 0o644, "long").gives("ok");
    });
}

#[test]
fn names_are_bytes_and_may_look_like_anything() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f .wh 644 x\n f \\ 644 x\n f ä 644 x\n f % 644 x", |at| {
        at.create("new\nline", 0o644, "x").gives("ok");
        at.unlink("ä").gives("ok");
        at.write("\\", "y").gives("ok");
        at.rename("%", "100%").gives("ok");
    });
}

#[test]
fn many_layers_are_searched_from_the_top() {
    need!(fuse, overlay);
    let lowers: String =
        (0..30).rev().map(|n| format!("lower:\n f f{n} 644 own\n f all 644 layer{n}\n f d/f{n} 644 x\n")).collect();
    check(&format!("upper:\n{lowers}"), |at| {
        at.read("all").gives("layer29");
        at.read("f0").gives("own");
        at.list("d");
        at.unlink("d/f0").gives("ok");
        at.append("all", "+").gives("ok");
    });
}
