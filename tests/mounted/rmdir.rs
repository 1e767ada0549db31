//! Removing directories: a directory is empty if the mount shows no entries, whatever the layers hold.

use std::os::unix::fs::MetadataExt;

use crate::need;
use crate::support::{Layers, Subject, check, scratch, show, subject};

#[test]
fn a_directory_that_shows_entries_is_not_removed() {
    need!(fuse, overlay);
    check("upper:\n d d 755\n f u/x 644 x\n lower:\n f d/x 644 x\n f l/x 644 x", |at| {
        for name in ["d", "u", "l"] {
            at.rmdir(name).gives("ENOTEMPTY");
        }
        at.list("d").gives("x");
    });
}

#[test]
fn empty_directories_of_every_layer_are_removed() {
    need!(fuse, overlay);
    check("upper:\n d u 755\n d both 755\n lower:\n d both 700\n d l 755\n lower:\n d both 711", |at| {
        for name in ["u", "both", "l"] {
            at.rmdir(name).gives("ok");
            at.stat(name).gives("ENOENT");
            at.rmdir(name).gives("ENOENT");
        }
    });
}

#[test]
fn a_directory_that_holds_only_whiteouts_is_empty() {
    need!(fuse, overlay);
    check("upper:\n w d/x\n w d/y\n w m/x\n lower:\n f d/x 644 x\n f d/y 644 y\n lower:\n f m/x 644 x", |at| {
        at.list("d").gives("ok");
        at.rmdir("d").gives("ok");
        at.rmdir("m").gives("ok");
        at.list("").gives("ok");
    });
}

#[test]
fn a_lower_directory_whose_files_a_higher_lower_layer_whites_out_is_empty() {
    need!(fuse, overlay);
    check("upper:\n lower:\n w d/x\n lower:\n f d/x 644 x", |at| {
        at.rmdir("d").gives("ok");
        at.mkdir("d", 0o755).gives("ok");
        at.list("d").gives("ok");
    });
}

#[test]
fn removing_a_tree_leaves_one_whiteout() {
    need!(fuse, overlay);
    for subject in Subject::BOTH {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\n f t/u 644 x\n lower:\n f t/a/b/c 644 x\n f t/d 644 x");
        let mounted = subject.mount(&layers, &dir.path().join("at"));
        std::fs::remove_dir_all(mounted.at().join("t")).expect("remove a merged tree");
        mounted.unmount();
        assert_eq!(show(layers.upper()), "w t", "{subject:?}");
    }
}

#[test]
fn only_directories_are_removed_as_directories() {
    need!(fuse, overlay);
    check("upper:\n f u 644 x\n lower:\n f l 644 x\n l s d\n d d 755", |at| {
        for name in ["u", "l", "s"] {
            at.rmdir(name).gives("ENOTDIR");
        }
        at.rmdir("nowhere").gives("ENOENT");
        at.rmdir("d/.").gives("EINVAL");
    });
}

#[test]
fn a_directory_is_removed_once_its_last_entry_is() {
    need!(fuse, overlay);
    check("upper:\n f d/u 644 x\n lower:\n f d/l 644 x", |at| {
        at.unlink("d/u").gives("ok");
        at.rmdir("d").gives("ENOTEMPTY");
        at.unlink("d/l").gives("ok");
        at.rmdir("d").gives("ok");
    });
}

/// Nothing is below its new name, but it still merges with the lower directories of its former name.
#[test]
fn a_renamed_directory_is_not_empty_for_what_its_former_name_has_below() {
    need!(root, fuse, overlay);
    check("upper:\n d up 755\n lower:\n d old 755\n f old/x 644 x\n d old/empty 755", |at| {
        at.rename("old", "up/new").gives("ok");
        at.rmdir("up/new").gives("ENOTEMPTY");
        at.unlink("up/new/x").gives("ok");
        at.rmdir("up/new").gives("ENOTEMPTY");
        at.rmdir("up/new/empty").gives("ok");
        at.rmdir("up/new").gives("ok");
        at.list("up").gives("ok");
    });
}

/// A whiteout may be one of several hard links to a device.
#[test]
fn what_several_mounts_in_turn_removed_is_gone_for_us_and_for_the_kernel() {
    need!(fuse, overlay);
    let dir = scratch();
    let files: String = (0..12).map(|n| format!("f d/{n} 644 x\n f e/{n} 644 x\n")).collect();
    let layers = Layers::build(dir.path(), &format!("upper:\nlower:\n{files}"));
    let turns = [Subject::Overfuse, Subject::Kernel, Subject::Overfuse, Subject::Overfuse];
    for (turn, subject) in turns.into_iter().enumerate() {
        let mounted = subject.mount(&layers, &dir.path().join(format!("turn{turn}")));
        for n in [turn, turn + 4] {
            std::fs::remove_file(mounted.at().join(format!("d/{n}"))).expect("remove");
            std::fs::remove_file(mounted.at().join(format!("e/{n}"))).expect("remove");
        }
        assert_eq!(std::fs::read_dir(mounted.at().join("d")).expect("list").count(), 12 - 2 * (turn + 1));
        mounted.unmount();
    }
    if subject::peer().is_none() {
        let inode = |name: &str| std::fs::symlink_metadata(layers.upper().join(name)).expect("a whiteout").ino();
        assert_eq!((inode("d/2"), inode("d/6")), (inode("e/6"), inode("e/2")), "one device for all of a mount");
        assert_ne!(inode("d/0"), inode("d/2"));
    }
    let last = Subject::Overfuse.mount(&layers, &dir.path().join("last"));
    for n in 8..12 {
        std::fs::remove_file(last.at().join(format!("d/{n}"))).expect("remove");
    }
    std::fs::remove_dir(last.at().join("d")).expect("remove the directory of whiteouts of five mounts");
    last.unmount();
    for (subject, name) in [(Subject::Kernel, "by-kernel"), (Subject::Overfuse, "by-overfuse")] {
        let mounted = subject.mount(&layers, &dir.path().join(name));
        let left = "d e 755\nf e/10 644 x\nf e/11 644 x\nf e/8 644 x\nf e/9 644 x";
        assert_eq!(show(mounted.at()), left, "{name}");
        mounted.unmount();
    }
}
