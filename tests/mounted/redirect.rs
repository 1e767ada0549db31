//! Renaming directories that exist in a lower layer: they get a redirect mark and keep their content.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{RenameFlags, XattrFlags};

use crate::need;
use crate::support::need::is_root;
use crate::support::{At, Layers, Subject, build_at, check, check_alone, mount_with, scratch, show};

const EXCHANGE: RenameFlags = RenameFlags::EXCHANGE;
const TREES: &str = "upper:\n f m/u 644 u\n w m/gone\n lower:\n f m/a/x 644 x1\n f m/gone 644 x\n f only/deep/f 644 f\n d empty 755\n\
    lower:\n f m/a/y 644 y2\n f m/z 644 z2\n f only/deep/g 600 g\n f file 644 x";

/// For root, the kernel with `redirect_dir=on` does the same. In a user namespace it answers `EXDEV`.
fn on_both_or_alone(layers: &str, operations: impl Fn(&At)) {
    need!(fuse, overlay);
    if is_root() { check(layers, operations) } else { check_alone(layers, operations) }
}

#[test]
fn a_directory_that_exists_below_moves_with_all_that_is_in_it() {
    on_both_or_alone(TREES, |at| {
        at.rename("m", "n").gives("ok");
        at.list("n").gives("a/ u z");
        at.list("n/a").gives("x y");
        at.stat("m").gives("ENOENT");
        at.rename("only", "n/a/only").gives("ok");
        at.read("n/a/only/deep/f").gives("f");
        at.append("n/a/only/deep/f", "+").gives("ok");
        at.unlink("n/a/only/deep/g").gives("ok");
        at.create("n/a/new", 0o644, "new").gives("ok");
        at.list("n/a").gives("new only/ x y");
    });
}

#[test]
fn a_directory_moves_over_and_over_and_back() {
    on_both_or_alone(TREES, |at| {
        for (from, to) in [("m", "n"), ("n", "only/n"), ("only/n", "k"), ("k", "only/deep/m"), ("only/deep/m", "m")] {
            at.rename(from, to).gives("ok");
            at.list(to).gives("a/ u z");
            at.list(&format!("{to}/a")).gives("x y");
        }
        at.rename("m/a", "a").gives("ok");
        at.rename("m", "a/m").gives("ok");
        at.list("a").gives("m/ x y");
        at.list("a/m").gives("u z");
    });
}

#[test]
fn a_directory_inside_one_that_was_moved_moves_out_of_it() {
    on_both_or_alone(TREES, |at| {
        at.rename("only", "n").gives("ok");
        at.rename("n/deep", "n/deeper").gives("ok");
        at.read("n/deeper/f").gives("f");
        at.rename("n/deeper", "out").gives("ok");
        at.rename("n", "out/n").gives("ok");
        at.list("out").gives("f g n/");
        at.list("out/n").gives("ok");
    });
}

#[test]
fn the_old_name_is_free_and_what_is_made_there_is_new() {
    on_both_or_alone(TREES, |at| {
        at.rename("only", "n").gives("ok");
        at.mkdir("only", 0o700).gives("ok");
        at.list("only").gives("ok");
        at.create("only/x", 0o644, "x").gives("ok");
        at.rmdir("empty").gives("ok");
        at.rename("n", "empty").gives("ok");
        at.list("empty").gives("deep/");
        at.list("only").gives("x");
    });
}

#[test]
fn a_directory_takes_the_place_of_an_empty_one() {
    on_both_or_alone(TREES, |at| {
        at.rename("m", "only").gives("ENOTEMPTY");
        at.rename("m", "file").gives("ENOTDIR");
        at.rename("m", "empty").gives("ok");
        at.list("empty").gives("a/ u z");
        at.unlink("only/deep/f").gives("ok");
        at.unlink("only/deep/g").gives("ok");
        at.rename("empty", "only/deep").gives("ok");
        at.list("only/deep").gives("a/ u z");
        at.rename("only", "only/deep/a/q").gives("EINVAL");
    });
}

#[test]
fn directories_are_exchanged_with_all_that_is_in_them() {
    on_both_or_alone(TREES, |at| {
        at.rename_with("m", "only", EXCHANGE).gives("ok");
        at.list("m").gives("deep/");
        at.list("only").gives("a/ u z");
        at.rename_with("only/a", "m/deep", EXCHANGE).gives("ok");
        at.list("only/a").gives("f g");
        at.list("m/deep").gives("x y");
        at.rename_with("m/deep", "file", EXCHANGE).gives("ok");
        at.read("m/deep").gives("x");
        at.list("file").gives("x y");
        at.mkdir("new", 0o755).gives("ok");
        at.rename_with("new", "only", EXCHANGE).gives("ok");
        at.list("only").gives("ok");
        at.list("new").gives("a/ u z");
        at.rename_with("new", "new/a", EXCHANGE).gives("EINVAL");
    });
}

#[test]
fn a_moved_directory_can_be_emptied_and_removed() {
    on_both_or_alone(TREES, |at| {
        at.rename("only", "n").gives("ok");
        at.rmdir("n").gives("ENOTEMPTY");
        for file in ["n/deep/f", "n/deep/g"] {
            at.unlink(file).gives("ok");
        }
        at.rmdir("n/deep").gives("ok");
        at.rmdir("n").gives("ok");
        at.list("").gives("empty/ file m/");
        at.mkdir("n", 0o755).gives("ok");
        at.list("n").gives("ok");
    });
}

#[test]
fn attributes_and_numbers_move_along() {
    on_both_or_alone(TREES, |at| {
        at.chmod("only", 0o711).gives("ok");
        at.set_xattr("only", "user.k", "v", XattrFlags::empty()).gives("ok");
        let inode = |path: &str| at.path(path).metadata().expect("stat").ino();
        let before = (inode("only"), inode("only/deep"), inode("only/deep/f"));
        at.rename("only", "m/only").gives("ok");
        assert_eq!((inode("m/only"), inode("m/only/deep"), inode("m/only/deep/f")), before);
        at.get_xattr("m/only", "user.k").gives("v");
        at.stat("m/only");
    });
}

/// The lower layer was the upper of an earlier mount, on which directories were renamed.
#[test]
fn redirects_in_lower_layers_are_followed() {
    need!(root, fuse, overlay);
    let dir = scratch();
    let layers = Layers::build(dir.path(), TREES);
    let mounted = Subject::Kernel.mount(&layers, &dir.path().join("first"));
    let at = At::new(mounted.at());
    at.rename("m", "only/m").gives("ok");
    at.rename("only/m/a", "only/m/b").gives("ok");
    at.rename("only", "o").gives("ok");
    at.chmod("o/deep/f", 0o600).gives("ok");
    at.rename("o/deep/f", "o/moved").gives("ok");
    mounted.unmount();
    let mut lowers = vec![layers.upper().to_path_buf()];
    lowers.extend(layers.lowers.iter().cloned());
    for writable in [false, true] {
        let upper = writable.then(|| {
            let [upper, work] = ["upper2", "work2"].map(|name| dir.path().join(name));
            fs::create_dir_all(&upper).and_then(|()| fs::create_dir_all(&work)).expect("make directories");
            (upper, work)
        });
        let above = Layers { lowers: lowers.clone(), upper };
        let shown = Subject::BOTH.map(|subject| {
            let mounted = subject.mount(&above, &dir.path().join("second"));
            if writable {
                let at = At::new(mounted.at());
                at.rename("o/m/b", &format!("b-{subject:?}")).gives("ok");
                at.rename(&format!("b-{subject:?}"), "o/c").gives("ok");
                at.rename("o/c", "o/m/b").gives("ok");
            }
            let shown = show(mounted.at());
            mounted.unmount();
            shown
        });
        assert_eq!(shown[0], shown[1], "the kernel is on the left");
        assert!(shown[0].contains("o/m/b/x") && shown[0].contains("f o/moved 600 f"), "{}", shown[0]);
    }
}

/// A redirect that leads nowhere, or out of the layer, breaks only the directory that has it.
#[test]
fn a_bad_redirect_is_an_error_of_that_directory_alone() {
    need!(fuse);
    let key = if is_root() { "trusted.overlay.redirect" } else { "user.overlay.redirect" };
    for value in ["../out", "/../out", "/nowhere/at/all", "nothing", "a/b", "/", ""] {
        let dir = scratch();
        build_at(&dir.path().join("out"), "f secret 600 secret", 0);
        let layers = Layers::build(dir.path(), "upper:\n lower:\n d bad 755\n f good/x 644 x\n lower:\n f bad/y 644 y");
        rustix::fs::setxattr(layers.lowers[0].join("bad"), key, value.as_bytes(), XattrFlags::empty()).expect("mark");
        let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("at"));
        let at = At::new(mounted.at());
        at.list("").gives("bad/ good/");
        let refused = at.list("bad").to_string();
        assert!(["EIO", "EINVAL"].contains(&refused.as_str()), "{value:?}: {refused}");
        at.stat("bad/y").gives(&refused);
        at.rename("good", "better").gives("ok");
        at.read("better/x").gives("x");
        mounted.unmount();
    }
}

#[test]
fn without_redirects_programs_are_told_to_copy() {
    need!(fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), TREES);
    let mounted = mount_with(&layers, &dir.path().join("at"), "redirect_dir=off");
    let files = At::new(mounted.at());
    files.rename("m", "n").gives("EXDEV");
    files.rename_with("file", "only", EXCHANGE).gives("EXDEV");
    files.rename("file", "n").gives("ok");
    mounted.unmount();
}
