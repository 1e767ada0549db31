//! Files with several names in a lower layer: they stay one file, whatever happens to one of the names.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use crate::need;
use crate::support::{At, Layers, Subject, check, check_alone, scratch};

const LINKED: &str = "upper:\n lower:\n f a 644 x\n h b a\n h d/c a\n f other 644 o";

/// For root, the kernel with `index=on` does the same. In a user namespace it has no index.
fn on_both_or_alone(operations: impl Fn(&At)) {
    need!(fuse, overlay);
    if crate::support::need::is_root() { check(LINKED, operations) } else { check_alone(LINKED, operations) }
}

fn are_one_file(at: &At, names: &[&str], content: &str) {
    let mut inodes: Vec<u64> = Vec::new();
    for name in names {
        at.read(name).gives(content);
        let meta = at.path(name).symlink_metadata().expect("stat a name");
        assert_eq!(meta.nlink(), names.len() as u64, "{name}");
        inodes.push(meta.ino());
    }
    inodes.dedup();
    assert_eq!(inodes.len(), 1, "{names:?} are one file");
}

#[test]
fn a_write_through_one_name_is_seen_through_all() {
    on_both_or_alone(|at| {
        are_one_file(at, &["a", "b", "d/c"], "x");
        at.append("b", "p").gives("ok");
        are_one_file(at, &["a", "b", "d/c"], "xp");
        at.append("d/c", "m").gives("ok");
        are_one_file(at, &["a", "b", "d/c"], "xpm");
    });
}

#[test]
fn a_name_that_was_never_looked_up_has_what_was_written_through_another() {
    on_both_or_alone(|at| {
        at.append("a", "p").gives("ok");
        at.read("d/c").gives("xp");
        at.list("d").gives("c");
    });
}

#[test]
fn attributes_belong_to_all_names() {
    on_both_or_alone(|at| {
        at.chmod("d/c", 0o600).gives("ok");
        at.set_xattr("a", "user.k", "v", rustix::fs::XattrFlags::empty()).gives("ok");
        at.stat("b").gives("100600 0:0 1 bytes links=3");
        at.get_xattr("b", "user.k").gives("v");
        are_one_file(at, &["a", "b", "d/c"], "x");
    });
}

#[test]
fn names_come_and_go_and_are_counted() {
    on_both_or_alone(|at| {
        at.unlink("a").gives("ok");
        are_one_file(at, &["b", "d/c"], "x");
        at.link("b", "new").gives("ok");
        are_one_file(at, &["b", "d/c", "new"], "x");
        at.append("new", "p").gives("ok");
        at.unlink("b").gives("ok");
        at.rename("d/c", "e").gives("ok");
        are_one_file(at, &["new", "e"], "xp");
        at.unlink("new").gives("ok");
        are_one_file(at, &["e"], "xp");
        at.list("").gives("d/ e other");
    });
}

#[test]
fn the_last_name_takes_the_file_with_it() {
    on_both_or_alone(|at| {
        let mut open = File::open(at.path("a")).expect("open a name");
        at.append("a", "p").gives("ok");
        for name in ["a", "b", "d/c"] {
            at.unlink(name).gives("ok");
        }
        let mut content = String::new();
        open.read_to_string(&mut content).expect("read what has no name");
        assert_eq!(content, "xp");
        assert_eq!(open.metadata().expect("stat what has no name").nlink(), 0);
        at.list("").gives("d/ other");
        at.create("a", 0o644, "new").gives("ok");
        are_one_file(at, &["a"], "new");
    });
}

#[test]
fn a_name_is_replaced_and_the_others_stay() {
    on_both_or_alone(|at| {
        at.rename("other", "b").gives("ok");
        at.read("b").gives("o");
        are_one_file(at, &["a", "d/c"], "x");
        at.rename("a", "d/c").gives("ok");
        at.rename_with("a", "b", rustix::fs::RenameFlags::EXCHANGE).gives("ok");
        at.read("a").gives("o");
        are_one_file(at, &["b", "d/c"], "x");
    });
}

#[test]
fn an_open_name_follows_a_write_through_another() {
    on_both_or_alone(|at| {
        let reader = File::open(at.path("a")).expect("open a name");
        at.write_at("d/c", 0, "y").gives("ok");
        let mut byte = [0];
        rustix::io::pread(&reader, &mut byte, 0).expect("read");
        assert_eq!(byte, *b"y");
        assert_eq!(reader.metadata().expect("stat").ino(), at.path("b").metadata().expect("stat").ino());
    });
}

#[test]
fn names_in_a_directory_that_was_renamed_are_still_names_of_the_file() {
    need!(root, fuse, overlay);
    check(LINKED, |at| {
        at.rename("d", "e").gives("ok");
        at.append("e/c", "p").gives("ok");
        are_one_file(at, &["a", "b", "e/c"], "xp");
        at.rename("e/c", "c").gives("ok");
        are_one_file(at, &["a", "b", "c"], "xp");
    });
}

/// Three layers: the middle one removes one name and covers another with a different file.
#[test]
fn hidden_names_are_not_counted_away() {
    need!(root, fuse, overlay);
    check("upper:\n lower:\n w a\n f b 600 own\n lower:\n f a 644 x\n h b a\n h c a\n h d/e a", |at| {
        at.append("c", "p").gives("ok");
        at.read("d/e").gives("xp");
        at.read("b").gives("own");
        at.unlink("c").gives("ok");
        at.read("d/e").gives("xp");
        at.stat("d/e");
    });
}

#[test]
fn links_and_pipes_have_several_names_too() {
    need!(root, fuse, overlay);
    check("upper:\n lower:\n l a target\n h b a\n p p 644\n h q p", |at| {
        at.chown("a", 7, 8).gives("ok");
        at.chmod("q", 0o600).gives("ok");
        for name in ["a", "b", "p", "q"] {
            at.stat(name);
        }
        at.unlink("a").gives("ok");
        at.readlink("b").gives("target");
        at.stat("b");
    });
}

/// A program that makes an image of the upper layer alone must find the file under all of its names.
#[test]
fn the_upper_layer_has_all_names_of_what_was_changed_through_one() {
    need!(fuse);
    let dir = scratch();
    let layers =
        Layers::build(dir.path(), "upper:\n w gone\n lower:\n f a 644 x\n h b a\n h d/deep/c a\n h gone a\n h d/e a");
    let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("at"));
    let at = At::new(mounted.at());
    at.unlink("d/e").gives("ok");
    at.append("a", "p").gives("ok");
    mounted.unmount();
    let upper = layers.upper();
    let inode = |name: &str| upper.join(name).symlink_metadata().expect("stat a name in the upper").ino();
    assert_eq!((inode("b"), inode("d/deep/c")), (inode("a"), inode("a")));
    assert_eq!(std::fs::read_to_string(upper.join("b")).expect("read a name in the upper"), "xp");
    assert_ne!(inode("gone"), inode("a"));
}
