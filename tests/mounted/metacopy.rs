//! Changes of attributes alone copy no data; the first write copies it.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::XattrFlags;

use crate::need;
use crate::support::{At, Layers, Subject, check, mount_with, scratch, show};

const LARGE: &str = "upper:\n lower:\n f d/big 644 262144*A\n f small 644 x\n f empty 644 \"\"";

/// How many bytes the file takes on the disk.
fn allocated(path: &Path) -> u64 {
    path.symlink_metadata().expect("stat a file of the upper").blocks() * 512
}

fn every_change_of_attributes(at: &At) {
    at.chmod("d/big", 0o600).gives("ok");
    at.chown("d/big", 7, 8).gives("ok");
    at.utimes("d/big", 12345, 678).gives("ok");
    at.set_xattr("d/big", "user.k", "v", XattrFlags::empty()).gives("ok");
    at.link("d/big", "d/second").gives("ok");
    at.rename("d/big", "moved").gives("ok");
    at.chmod("small", 0o600).gives("ok");
    at.chmod("empty", 0o600).gives("ok");
    at.stat("moved").gives("100600 7:8 262144 bytes links=2");
}

#[test]
fn no_data_is_copied_for_a_change_of_attributes() {
    need!(root, fuse, overlay);
    check(LARGE, |at| {
        every_change_of_attributes(at);
        at.read("d/second");
    });
    let dir = scratch();
    let layers = Layers::build(dir.path(), LARGE);
    let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("at"));
    every_change_of_attributes(&At::new(mounted.at()));
    assert_eq!(allocated(&mounted.at().join("moved")), allocated(&layers.lowers[0].join("d/big")));
    mounted.unmount();
    assert!(allocated(&layers.upper().join("moved")) < 64 << 10, "the data was copied up");
}

#[test]
fn the_data_follows_on_the_first_write_and_is_whole() {
    need!(root, fuse, overlay);
    check(LARGE, |at| {
        every_change_of_attributes(at);
        at.write_at("d/second", 100_000, "BBB").gives("ok");
        at.read("moved");
        at.stat("moved").gives("100600 7:8 262144 bytes links=2");
        at.chmod("d/second", 0o4755).gives("ok");
        at.truncate("moved", 5).gives("ok");
        at.read("d/second").gives("AAAAA");
        at.append("small", "+").gives("ok");
        at.append("empty", "+").gives("ok");
    });
}

#[test]
fn a_file_with_attributes_alone_is_truncated() {
    need!(root, fuse, overlay);
    check(LARGE, |at| {
        for (name, length) in [("d/big", 0), ("small", 0)] {
            at.chmod(name, 0o600).gives("ok");
            at.truncate(name, length).gives("ok");
            at.read(name).gives("\"\"");
        }
    });
}

#[test]
fn the_data_arrives_with_times_and_rights_as_they_are() {
    need!(root, fuse, overlay);
    let dir = scratch();
    let layers = Layers::build(dir.path(), LARGE);
    let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("at"));
    let at = At::new(mounted.at());
    at.chmod("d/big", 0o6755).gives("ok");
    at.utimes("d/big", 12345, 678).gives("ok");
    let file = File::options().write(true).open(at.path("d/big")).expect("open");
    let before = fs::metadata(at.path("d/big")).expect("stat");
    // The call allocates no space, but it copies the data up.
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, 1).expect("allocate");
    drop(file);
    let after = fs::metadata(at.path("d/big")).expect("stat");
    assert_eq!(after.size(), before.size());
    mounted.unmount();
    assert!(allocated(&layers.upper().join("d/big")) >= 256 << 10);
}

#[test]
fn readers_and_maps_stay_with_the_file_while_its_data_comes() {
    need!(root, fuse, overlay);
    let dir = scratch();
    let layers = Layers::build(dir.path(), LARGE);
    let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("at"));
    let path = mounted.at().join("d/big");
    let reader = File::open(&path).expect("open");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
    let mut byte = [0];
    reader.read_exact_at(&mut byte, 4096).expect("read");
    assert_eq!(&byte, b"A");
    File::options().write(true).open(&path).expect("open").write_all_at(b"B", 4096).expect("write");
    reader.read_exact_at(&mut byte, 4096).expect("read");
    assert_eq!(&byte, b"B");
    reader.read_exact_at(&mut byte, 4097).expect("read");
    assert_eq!(&byte, b"A");
    drop(reader);
    mounted.unmount();
}

/// Overfuse continues with metadata-only files that the kernel left, and the other way round.
#[test]
fn each_finds_the_data_of_what_the_other_left() {
    need!(root, fuse, overlay);
    for (first, second) in [(Subject::Kernel, Subject::Overfuse), (Subject::Overfuse, Subject::Kernel)] {
        let dir = scratch();
        let layers = Layers::build(dir.path(), LARGE);
        let mounted = first.mount(&layers, &dir.path().join("at"));
        every_change_of_attributes(&At::new(mounted.at()));
        let left = show(mounted.at());
        mounted.unmount();
        let mounted = second.mount(&layers, &dir.path().join("again"));
        assert_eq!(show(mounted.at()), left, "{first:?}, then {second:?}");
        let at = At::new(mounted.at());
        at.write_at("moved", 0, "B").gives("ok");
        let written = show(mounted.at());
        mounted.unmount();
        let mounted = first.mount(&layers, &dir.path().join("third"));
        assert_eq!(show(mounted.at()), written, "{first:?}, after {second:?}");
        mounted.unmount();
    }
}

/// With `user.` marks the kernel does not read metadata-only files, so Overfuse makes none.
#[test]
fn with_user_marks_the_data_comes_along() {
    need!(fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), LARGE);
    let mounted = mount_with(&layers, &dir.path().join("at"), "userxattr");
    At::new(mounted.at()).chmod("d/big", 0o600).gives("ok");
    mounted.unmount();
    assert!(allocated(&layers.upper().join("d/big")) >= 256 << 10);
}

/// A user who may write a file's xattrs must not be able to redirect it to the data of another file.
#[test]
fn user_marks_lead_to_no_other_data() {
    need!(fuse);
    let dir = scratch();
    let layers =
        Layers::build(dir.path(), "lower:\n f mine 644 6*0\n lower:\n f secret 600 secret\n f mine 600 mine--");
    let mine = layers.lowers[0].join("mine");
    rustix::fs::setxattr(&mine, "user.overlay.metacopy", b"", XattrFlags::empty()).expect("mark");
    rustix::fs::setxattr(&mine, "user.overlay.redirect", b"/secret", XattrFlags::empty()).expect("mark");
    let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("at"));
    let read = At::new(mounted.at()).read("mine").to_string();
    assert!(read == "000000" || read == "EPERM", "{read}");
    mounted.unmount();
}
