//! Removing files: a whiteout is left where a lower layer would show through, and only there.

use crate::need;
use crate::support::{Layers, Subject, check, scratch, show};

#[test]
fn files_of_every_layer_can_be_removed() {
    need!(fuse, overlay);
    check(
        "upper:\n f u 644 u\n f both 644 new\n lower:\n f both 644 old\n f l 644 l\n l s x\n p p 644\n f d/x 644 x\n lower:\n f deep 644 x",
        |at| {
            for name in ["u", "both", "l", "s", "p", "d/x", "deep"] {
                at.unlink(name).gives("ok");
                at.stat(name).gives("ENOENT");
                at.unlink(name).gives("ENOENT");
            }
            at.list("d").gives("ok");
        },
    );
}

#[test]
fn a_directory_is_not_unlinked() {
    need!(fuse, overlay);
    check("upper:\n d u 755\n lower:\n d l 755\n f x 644 x", |at| {
        at.unlink("u").gives("EISDIR");
        at.unlink("l").gives("EISDIR");
        at.unlink("x/y").gives("ENOTDIR");
        at.unlink("nowhere").gives("ENOENT");
    });
}

#[test]
fn a_whiteout_is_left_only_where_something_shows_through() {
    need!(fuse, overlay);
    for subject in Subject::BOTH {
        let dir = scratch();
        let layers = Layers::build(
            dir.path(),
            "upper:
             f alone 644 x
             f over 644 x
             o opaque 755
             f opaque/x 644 x
             lower:
             w hidden
             f over 644 x
             f opaque/x 644 x
             f below 644 x
             lower:
             f hidden 644 x",
        );
        let mounted = subject.mount(&layers, &dir.path().join("at"));
        std::fs::write(mounted.at().join("hidden"), "x").expect("create over a lower whiteout");
        for name in ["alone", "over", "opaque/x", "below", "hidden"] {
            std::fs::remove_file(mounted.at().join(name)).expect(name);
        }
        mounted.unmount();
        // A whiteout for `hidden` would be harmless; the kernel writes one, so both answers are right.
        let left = show(layers.upper()).replace("w hidden\n", "");
        assert_eq!(left, "w below\no opaque 755\nw over", "{subject:?}");
    }
}
