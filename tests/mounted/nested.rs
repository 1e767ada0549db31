//! Union file systems whose layers are inside a mount of Overfuse. They need to store their whiteouts there, as
//! devices.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{CWD, FileType, RenameFlags, renameat_with};

use crate::need;
use crate::support::{At, Layers, Subject, build, check_alone, scratch, show};

const OUTER: &str = "upper:
    lower:
    f low/a 644 a
    f low/b 644 b
    f low/d/x 644 x
    f low/d/y 644 y
    f low/e/z 644 z
    d up 755
    d work 755";

/// Changes the inner mount, and checks what it shows then.
fn change(at: &Path) {
    fs::remove_file(at.join("a")).expect("remove a file");
    fs::remove_dir_all(at.join("d")).expect("remove a directory");
    fs::create_dir(at.join("d")).expect("make a directory");
    fs::write(at.join("d/new"), "new").expect("make a file");
    fs::rename(at.join("b"), at.join("c")).expect("rename a file");
    fs::remove_file(at.join("e/z")).expect("remove a file");
}

const SHOWS: &str = "f c 644 b\nd d 755\nf d/new 644 new\nd e 755";

fn nest(inner: Subject) {
    let dir = scratch();
    let outer = Layers::build(dir.path(), OUTER);
    let (at, inner_at) = (dir.path().join("at"), dir.path().join("inner"));
    let layers = Layers { lowers: vec![at.join("low")], upper: Some((at.join("up"), at.join("work"))) };
    for round in 0..3 {
        let outside = Subject::Overfuse.mount(&outer, &at);
        let inside = inner.mount(&layers, &inner_at);
        if round == 0 {
            change(&inner_at);
        }
        assert_eq!(show(&inner_at), SHOWS, "{inner:?}, round {round}");
        inside.unmount();
        assert!(fs::symlink_metadata(at.join("up/a")).expect("stat").file_type().is_char_device());
        outside.unmount();
    }
}

/// Whiteouts are devices of mode 0. Overfuse stores them as entries of that mode with an xattr, which an ordinary user
/// outside a namespace cannot read.
#[test]
fn overfuse_mounts_layers_that_are_in_a_mount_of_overfuse() {
    need!(fuse, override);
    nest(Subject::Overfuse);
}

#[test]
fn the_kernel_mounts_layers_that_are_in_a_mount_of_overfuse() {
    need!(fuse, overlay);
    nest(Subject::Kernel);
}

#[test]
fn a_device_that_is_a_whiteout_elsewhere_is_a_device_here() {
    need!(fuse, override);
    let layers = "upper:\n w gone\n lower:\n f gone 644 x\n f below 644 x\n d d 755";
    check_alone(layers, |at: &At| {
        let whiteout = |path: &str, mode: u32| at.mknod(path, FileType::CharacterDevice, mode, (0, 0)).gives("ok");
        whiteout("new", 0o640);
        whiteout("gone", 0);
        whiteout("d/.wh.x", 0o600);
        at.stat("new").gives("20640 0:0 0 bytes links=1");
        at.stat("gone").gives("20000 0:0 0 bytes links=1");
        at.chmod("gone", 0o604).gives("ok");
        at.stat("gone").gives("20604 0:0 0 bytes links=1");
        at.utimes("gone", 1_000_000_000, 5).gives("ok");
        at.link("new", "d/link").gives("ok");
        at.stat("d/link").gives("20640 0:0 0 bytes links=2");
        at.rename("new", "below").gives("ok");
        at.mknod("gone", FileType::CharacterDevice, 0o600, (0, 0)).gives("EEXIST");
        at.rename_with("d/link", "moved", RenameFlags::WHITEOUT).gives("ok");
        at.stat("d/link").gives("20000 0:0 0 bytes links=1");
        at.unlink("d/link").gives("ok");
        at.stat("d/link").gives("ENOENT");
        at.list("d").gives(".wh.x");
        at.list("").gives("below d/ gone moved");
    });
}

#[test]
fn such_devices_are_listed_as_devices_and_come_up_from_below() {
    need!(fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\nlower:\nd d 755");
    let at = dir.path().join("at");
    let is_listed_as_device = || {
        let entry = fs::read_dir(at.join("d")).expect("list").next().expect("one entry").expect("an entry");
        entry.file_type().expect("its type").is_char_device()
    };
    let mounted = Subject::Overfuse.mount(&layers, &at);
    rustix::fs::mknodat(CWD, at.join("d/w"), FileType::CharacterDevice, 0o640.into(), 0).expect("make a device");
    assert!(is_listed_as_device());
    mounted.unmount();
    let (upper, work) = (dir.path().join("upper2"), dir.path().join("work2"));
    build(&upper, "");
    build(&work, "");
    let lowers = [vec![layers.upper().to_path_buf()], layers.lowers.clone()].concat();
    let layers = Layers { lowers, upper: Some((upper, work)) };
    for _ in 0..2 {
        let mounted = Subject::Overfuse.mount(&layers, &at);
        assert!(is_listed_as_device());
        renameat_with(CWD, at.join("d/w"), CWD, at.join("d/v"), RenameFlags::NOREPLACE).expect("rename a device");
        fs::rename(at.join("d/v"), at.join("d/w")).expect("rename a device");
        let meta = fs::symlink_metadata(at.join("d/w")).expect("stat");
        assert_eq!((meta.mode(), meta.rdev(), meta.len()), (0o20640, 0, 0));
        mounted.unmount();
    }
}
