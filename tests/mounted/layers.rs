//! Layers of other programs: every format of whiteouts and opaque directories, at every place.
//!
//! Formats that the kernel reads are compared with it; for the others, the expectation is written out.

use std::fs;
use std::path::Path;

use crate::need;
use crate::support::need::{is_root, overrides_modes};
use crate::support::{Layers, Subject, check, scratch, show};

/// A layer's text, with `MARK.` replaced by the prefix of this process's marks. An ordinary user cannot read the
/// xattrs of an unreadable file, so whiteouts get a mode other than 0 for such a user.
pub fn marked(text: &str) -> String {
    let text = if overrides_modes() { text.to_owned() } else { text.replace(" 0 \"\" +MARK", " 400 \"\" +MARK") };
    text.replace("MARK.", if is_root() { "trusted.overlay." } else { "user.overlay." })
}

/// Two layers, what they show together, and names that must be missing.
struct Case {
    what: &'static str,
    above: &'static str,
    below: &'static str,
    shows: &'static str,
    gone: &'static str,
}

const FOREIGN: &[Case] = &[
    Case {
        what: "a whiteout file",
        above: "f .wh.a 644 \"\"",
        below: "f a 644 a\nf b 644 b",
        shows: "f b 644 b",
        gone: "a .wh.a .wh.b",
    },
    Case {
        what: "a whiteout file of a directory, in a directory",
        above: "f d/.wh.sub 644 \"\"\nf d/new 644 n",
        below: "f d/sub/x 644 x\nf d/y 644 y",
        shows: "d d 755\nf d/new 644 n\nf d/y 644 y",
        gone: "d/sub d/sub/x d/.wh.sub",
    },
    Case {
        what: "an opaque file",
        above: "f d/.wh..wh..opq 644 \"\"\nf d/new 644 n",
        below: "f d/old 644 o\nf e 644 e",
        shows: "d d 755\nf d/new 644 n\nf e 644 e",
        gone: "d/old d/.wh..wh..opq",
    },
    Case {
        what: "an opaque file in the root",
        above: "f .wh..wh..opq 644 \"\"\nf new 644 n",
        below: "f old 644 o\nd d 755",
        shows: "f new 644 n",
        gone: "old d .wh..wh..opq",
    },
    Case {
        what: "the mark of fuse-overlayfs",
        above: "d d 755 +user.fuseoverlayfs.opaque=y\nf d/new 644 n",
        below: "f d/old 644 o",
        shows: "d d 755\nf d/new 644 n",
        gone: "d/old",
    },
    Case {
        what: "an entry beside its whiteout, which begins afresh",
        above: "f .wh.d 644 \"\"\nf d/new 644 n\nf .wh.f 644 \"\"\nf f 644 new",
        below: "f d/old 644 o\nf f 644 old",
        shows: "d d 755\nf d/new 644 n\nf f 644 new",
        gone: "d/old .wh.d .wh.f",
    },
    Case {
        what: "whiteouts of other kinds in an opaque directory",
        above: "f d/.wh..wh..opq 644 \"\"\nf d/.wh.a 644 \"\"\nw d/b\nf d/c 644 c",
        below: "f d/a 644 a\nf d/b 644 b\nf d/x 644 x",
        shows: "d d 755\nf d/c 644 c",
        gone: "d/a d/b d/x d/.wh.a",
    },
    Case {
        what: "what AUFS keeps for itself",
        above: "d .wh..wh.plnk 700\nf .wh..wh.plnk/x 644 x\nd .wh..wh.orph 700\nf .wh..wh.aufs 444 \"\"\nf a 644 a",
        below: "f b 644 b",
        shows: "f a 644 a\nf b 644 b",
        gone: ".wh..wh.plnk .wh..wh.orph .wh..wh.aufs",
    },
    Case {
        what: "a whiteout of a whiteout, which brings nothing back",
        above: "f .wh..wh.a 644 \"\"",
        below: "f .wh.a 644 \"\"\nf a 644 a",
        shows: "f a 644 a",
        gone: ".wh.a .wh..wh.a",
    },
    Case {
        what: "names that only begin like whiteouts",
        above: "f .wh.a 644 content\nl .wh.b target\np .wh.c 644\nd .wh.d 755\nf .wh 644 \"\"\nf .whx 644 \"\"",
        below: "f a 644 a\nf b 644 b\nf c 644 c\nf d 644 d\nf x 644 x",
        shows: "f .wh 644 \"\"\nf .wh.a 644 content\nl .wh.b target\np .wh.c 644\nd .wh.d 755\nf .whx 644 \"\"\n\
                f a 644 a\nf b 644 b\nf c 644 c\nf d 644 d\nf x 644 x",
        gone: ".wh.x",
    },
    Case {
        what: "more whiteouts than are looked for one by one",
        above: "f .wh.a 644 \"\"\nf .wh.b 644 \"\"\nf .wh.c 644 \"\"\nf .wh.d 644 \"\"\nf .wh.e 644 \"\"\nf .wh.f 644 \"\"",
        below: "f a 644 x\nf b 644 x\nf c 644 x\nf d 644 x\nf e 644 x\nf f 644 x\nf g 644 x\nf h 644 x\nf i 644 x",
        shows: "f g 644 x\nf h 644 x\nf i 644 x",
        gone: "x1 x2 x3 a b c d e f .wh.a x4 x5 x6",
    },
    Case {
        what: "the kernel's whiteouts without devices",
        above: "d d 755 +MARK.opaque=x\nf d/a 0 \"\" +MARK.whiteout=y\nf d/b 644 full +MARK.whiteout=y\nf d/c 644 \"\"",
        below: "f d/a 644 a\nf d/x 644 x",
        shows: "d d 755\nf d/b 644 full\nf d/c 644 \"\"\nf d/x 644 x",
        gone: "d/a",
    },
    Case {
        what: "the same in the root",
        above: "d . 755 +MARK.opaque=x\nf a 0 \"\" +MARK.whiteout=y",
        below: "f a 644 a\nf x 644 x",
        shows: "f x 644 x",
        gone: "a",
    },
    Case {
        what: "such a mark where the directory does not announce it",
        above: "f d/a 644 \"\" +MARK.whiteout=y",
        below: "f d/a 644 a",
        shows: "d d 755\nf d/a 644 \"\"",
        gone: "d/b",
    },
];

/// Fails unless `at` shows what `case` says, by listing and by looking up.
fn assert_shows(at: &Path, case: &Case, how: &str) {
    // Lookups come first, before a listing has filled any cache.
    for name in case.gone.split(' ') {
        let found = fs::symlink_metadata(at.join(name)).map(|_| ()).map_err(|error| error.raw_os_error());
        assert_eq!(found, Err(Some(libc::ENOENT)), "{}, {how}: {name}", case.what);
    }
    assert_eq!(show(at), case.shows, "{}, {how}", case.what);
    for name in case.gone.split(' ') {
        assert!(fs::symlink_metadata(at.join(name)).is_err(), "{}, {how}: {name} after listing", case.what);
    }
}

#[test]
fn foreign_formats_are_read_in_lower_layers() {
    need!(fuse);
    for case in FOREIGN {
        for upper in ["", "upper:\n"] {
            let dir = scratch();
            let text = format!("{upper}lower:\n{}\nlower:\n{}", case.above, case.below);
            let layers = Layers::build(dir.path(), &marked(&text));
            let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("at"));
            assert_shows(mounted.at(), case, if upper.is_empty() { "read-only" } else { "below an upper" });
            mounted.unmount();
        }
    }
}

#[test]
fn foreign_formats_are_read_in_the_upper_layer_and_become_the_kernels_when_it_changes() {
    need!(fuse, overlay);
    for case in FOREIGN {
        let dir = scratch();
        let text = format!("upper:\n{}\nlower:\n{}", case.above, case.below);
        let layers = Layers::build(dir.path(), &marked(&text));
        let at = dir.path().join("at");
        let mounted = Subject::Overfuse.mount(&layers, &at);
        assert_shows(&at, case, "in the upper");
        let in_directory = at.join("d").is_dir();
        for name in if in_directory { &["new1", "d/new2"][..] } else { &["new1"] } {
            fs::write(at.join(name), "").expect("make a file");
            fs::remove_file(at.join(name)).expect("remove a file");
        }
        assert_shows(&at, case, "in the upper, changed");
        mounted.unmount();
        let mounted = Subject::Overfuse.mount(&layers, &at);
        assert_shows(&at, case, "in the upper, remounted");
        mounted.unmount();
        // The kernel knows no opaque roots, shows AUFS's own files, and lists the whiteouts of opaque directories.
        if ["root", "AUFS", "opaque directory", "announce"].iter().any(|kind| case.what.contains(kind)) {
            continue;
        }
        let mounted = Subject::Kernel.mount(&layers, &at);
        let by_kernel = show(&at).replace(" +user.fuseoverlayfs.opaque=y", "");
        mounted.unmount();
        assert_eq!(by_kernel, case.shows, "{}, by the kernel", case.what);
    }
}

#[test]
fn what_foreign_whiteouts_hid_can_be_made_anew() {
    need!(fuse, overlay);
    let above = marked(
        "f .wh.dir 644 \"\"\nf .wh.file 644 \"\"\nf .wh.link 644 \"\"\nd d 755 +MARK.opaque=x\n\
         f d/dir 0 \"\" +MARK.whiteout=y\nf d/file 0 \"\" +MARK.whiteout=y\nf d/moved 0 \"\" +MARK.whiteout=y",
    );
    let below = "f dir/old 644 o\nf file 644 o\nf link 644 o\nf d/dir/old 644 o\nf d/file 644 o\nf d/moved/old 644 o\nd sub 755";
    let dir = scratch();
    let layers = Layers::build(dir.path(), &format!("upper:\n{above}\nlower:\n{below}"));
    let at = dir.path().join("at");
    let mounted = Subject::Overfuse.mount(&layers, &at);
    for prefix in ["", "d/"] {
        fs::create_dir(at.join(format!("{prefix}dir"))).expect("make a directory");
        fs::write(at.join(format!("{prefix}file")), "new").expect("make a file");
    }
    std::os::unix::fs::symlink("target", at.join("link")).expect("make a link");
    fs::rename(at.join("dir"), at.join("d/moved")).expect("move a directory over a whiteout");
    let shows = "d d 755\nd d/dir 755\nf d/file 644 new\nd d/moved 755\nf file 644 new\nl link target\nd sub 755";
    assert_eq!(show(&at), shows);
    mounted.unmount();
    for subject in Subject::BOTH {
        let mounted = subject.mount(&layers, &at);
        assert_eq!(show(&at), shows, "remounted by {subject:?}");
        mounted.unmount();
    }
}

#[test]
fn whiteouts_are_no_entries_of_a_directory_that_is_removed() {
    need!(fuse, overlay);
    let dir = scratch();
    let text = "upper:\nf d/.wh.a 644 \"\"\nf e/.wh..wh..opq 644 \"\"\nlower:\nf d/a 644 a\nf e/b 644 b\nf f/c 644 c";
    let layers = Layers::build(dir.path(), text);
    let at = dir.path().join("at");
    let mounted = Subject::Overfuse.mount(&layers, &at);
    fs::remove_dir(at.join("d")).expect("remove a directory of whiteouts");
    fs::remove_dir(at.join("e")).expect("remove an opaque directory");
    assert_eq!(show(&at), "d f 755\nf f/c 644 c");
    mounted.unmount();
    for subject in Subject::BOTH {
        let mounted = subject.mount(&layers, &at);
        assert_eq!(show(&at), "d f 755\nf f/c 644 c", "remounted by {subject:?}");
        mounted.unmount();
    }
}

#[test]
fn the_kernels_whiteouts_without_devices_are_read_as_the_kernel_does() {
    need!(fuse, overlay);
    let layers = "upper:\n lower:
         d d 755 +MARK.opaque=x
         f d/a 0 \"\" +MARK.whiteout=y
         f d/b 644 full +MARK.whiteout=y
         lower:
         f d/a 644 a
         f d/b 644 b
         f d/c 644 c";
    check(&marked(layers), |at| {
        at.list("d").gives("b c");
        at.stat("d/a").gives("ENOENT");
        at.list_xattrs("d").gives("[]");
        at.mkdir("d/a", 0o755).gives("ok");
        at.unlink("d/c").gives("ok");
        at.list("d/a").gives("ok");
    });
}

#[test]
fn whiteouts_hide_wherever_they_stand() {
    need!(fuse);
    // In directories that merge with nothing the kernel lists whiteouts, although they cannot be looked up.
    let dir = scratch();
    let text = "lower:
         w root
         o d 755
         w d/inside
         w bottom/x
         lower:
         f root 644 r
         f d/inside 644 i
         f d/beside 644 b
         w alone
         w bottom/y
         w single/z";
    let mounted = Subject::Overfuse.mount(&Layers::build(dir.path(), text), &dir.path().join("at"));
    assert_eq!(show(mounted.at()), "d bottom 755\nd d 755\nd single 755");
    for name in ["root", "d/inside", "d/beside", "alone", "bottom/x", "bottom/y", "single/z"] {
        assert!(fs::symlink_metadata(mounted.at().join(name)).is_err(), "{name}");
    }
    mounted.unmount();
}

#[test]
fn marks_of_the_namespace_that_is_not_in_use_are_attributes() {
    need!(root, fuse, overlay);
    let layers = "upper:\n lower:
         d d 755 +user.overlay.opaque=y
         d e 755 +user.overlay.redirect=/d
         f f 644 f +user.overlay.metacopy=x +user.overlay.redirect=/d/old
         lower:
         f d/old 644 o
         f e/old 644 o";
    check(layers, |at| {
        at.list("d").gives("old");
        at.list("e").gives("old");
        at.read("f").gives("f");
        at.get_xattr("d", "user.overlay.opaque").gives("y");
        at.chmod("d", 0o700).gives("ok");
        at.list_xattrs("d").gives("[user.overlay.opaque]");
    });
}
