//! Copy-up: the first change of a lower file copies it whole, and its parent directories.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::need;
use crate::support::{Layers, Subject, check, scratch, show, snapshot};

const FILE: &str =
    "upper:\n lower:\n d a 750 @1:2 +user.dir=v\n d a/b 1711\n f a/b/x 640 content @1000:1001 +user.k=v +user.l=w";

#[test]
fn each_kind_of_first_change_brings_the_file_up_whole() {
    need!(ids, fuse, overlay);
    check(FILE, |at| drop(at.append("a/b/x", "+")));
    check(FILE, |at| drop(at.write_at("a/b/x", 2, "NT")));
    check(FILE, |at| drop(at.write("a/b/x", "new")));
    check(FILE, |at| drop(at.truncate("a/b/x", 3)));
    check(FILE, |at| drop(at.chmod("a/b/x", 0o600)));
    check(FILE, |at| drop(at.chown("a/b/x", 3, 4)));
    check(FILE, |at| drop(at.utimes("a/b/x", 1_100_000_000, 9)));
    check(FILE, |at| drop(at.link("a/b/x", "a/b/y")));
    check(FILE, |at| drop(at.rename("a/b/x", "a/b/y")));
    check(FILE, |at| drop(at.remove_xattr("a/b/x", "user.k")));
}

#[test]
fn reading_brings_nothing_up() {
    need!(fuse, overlay);
    for subject in Subject::BOTH {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\n lower:\n f d/x 644 x\n l d/s x\n lower:\n f d/y 644 y");
        let before = snapshot(layers.upper());
        let mounted = subject.mount(&layers, &dir.path().join("at"));
        snapshot(mounted.at());
        fs::metadata(mounted.at().join("d/x")).expect("stat");
        mounted.unmount();
        before.assert_eq(&snapshot(layers.upper()), &format!("{subject:?} changed the upper while reading"));
    }
}

#[test]
fn only_what_changed_and_its_parents_come_up() {
    need!(fuse, overlay);
    for subject in Subject::BOTH {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\n lower:\n f a/b/x 644 x\n f a/b/y 644 y\n f c/z 644 z");
        let mounted = subject.mount(&layers, &dir.path().join("at"));
        fs::write(mounted.at().join("a/b/x"), "new").expect("write");
        mounted.unmount();
        assert_eq!(show(layers.upper()), "d a 755\nd a/b 755\nf a/b/x 644 new", "{subject:?}");
    }
}

#[test]
fn holes_stay_holes() {
    need!(fuse, overlay);
    const MIB: u64 = 1 << 20;
    for subject in Subject::BOTH {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\n lower:\n f x 644 start");
        let lower = File::options().write(true).open(layers.lowers[0].join("x")).expect("open the lower file");
        lower.set_len(64 * MIB).expect("make a hole");
        lower.write_all_at(b"middle", 32 * MIB).expect("write behind a hole");
        drop(lower);
        let mounted = subject.mount(&layers, &dir.path().join("at"));
        let file = File::options().read(true).write(true).open(mounted.at().join("x")).expect("open");
        file.write_all_at(b"S", 0).expect("bring up");
        let mut found = [0; 6];
        file.read_exact_at(&mut found, 32 * MIB).expect("read");
        assert_eq!(&found, b"middle");
        drop(file);
        mounted.unmount();
        let meta = fs::metadata(layers.upper().join("x")).expect("the file came up");
        assert_eq!(meta.len(), 64 * MIB);
        // The kernel copies whole mebibytes, starting where data begins.
        assert!(meta.blocks() * 512 < 4 * MIB, "{subject:?} filled the holes: {} blocks", meta.blocks());
    }
}

#[test]
fn a_large_file_arrives_byte_for_byte() {
    need!(fuse, overlay);
    let content: Vec<u8> = (0..3_000_017u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for subject in Subject::BOTH {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\n lower:\n f x 644 x");
        fs::write(layers.lowers[0].join("x"), &content).expect("fill the lower file");
        let mounted = subject.mount(&layers, &dir.path().join("at"));
        let file = File::options().write(true).open(mounted.at().join("x")).expect("open");
        file.write_all_at(b"changed", 1_234_567).expect("bring up");
        drop(file);
        mounted.unmount();
        let mut expected = content.clone();
        expected[1_234_567..1_234_574].copy_from_slice(b"changed");
        assert!(fs::read(layers.upper().join("x")).expect("read") == expected, "{subject:?}: the content differs");
    }
}

#[test]
fn the_inode_number_stays_when_a_file_comes_up() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f x 644 x\n f d/y 644 y\n lower:\n f d/z 644 z", |at| {
        for (name, change) in [("x", "x"), ("d", "d/new"), ("d/y", "d/y")] {
            let inode = || fs::symlink_metadata(at.path(name)).map(|meta| meta.ino());
            let before = inode();
            if name == change {
                drop(at.append(name, "+"))
            } else {
                drop(at.create(change, 0o644, "x"))
            };
            let same = before.and_then(|before| Ok((before == inode()?).to_string()));
            at.note(format_args!("{name} keeps its number"), same).gives("true");
        }
    });
}

#[test]
fn a_merged_directory_comes_up_with_the_attributes_of_its_topmost() {
    need!(ids, fuse, overlay);
    check("upper:\n lower:\n d d 711 @5:6 +user.k=top\n lower:\n d d 777 +user.k=bottom\n f d/x 644 x", |at| {
        at.create("d/new", 0o644, "x").gives("ok");
        at.stat("d").gives("40711 5:6");
        at.get_xattr("d", "user.k").gives("top");
    });
}

#[test]
fn a_file_that_nobody_may_write_comes_up_for_root() {
    need!(fuse, overlay);
    check("upper:\n lower:\n d d 555\n f d/x 444 x\n f d/y 0 y", |at| {
        at.append("d/x", "+").gives("ok");
        at.append("d/y", "+").gives("ok");
        at.create("d/z", 0o400, "z").gives("ok");
    });
}

#[test]
fn capabilities_and_set_id_bits_go_with_the_first_write() {
    need!(root, fuse, overlay);
    // A valid capability set of revision 2: cap_net_raw, effective and permitted.
    const NET_RAW: &str = "+security.capability=\"\\x01\\x00\\x00\\x02\\x00 \\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\"";
    check(&format!("upper:\n lower:\n f ping 755 x {NET_RAW}\n f kept 755 x {NET_RAW}\n f set-id 4755 x"), |at| {
        at.list_xattrs("ping").gives("[security.capability]");
        at.append("ping", "+").gives("ok");
        at.list_xattrs("ping");
        at.chmod("kept", 0o700).gives("ok");
        at.list_xattrs("kept").gives("[security.capability]");
        at.append("set-id", "+").gives("ok");
        at.stat("set-id");
    });
}
