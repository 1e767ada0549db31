//! Space: allocation, holes, and copies made by the kernel.

use overfuse::fuse::stats;
use rustix::fs::FallocateFlags;

use crate::need;
use crate::support::{At, Layers, check, mount_with, scratch};

#[test]
fn space_is_allocated_at_the_end_and_behind_it() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 x", |at| {
        at.fallocate("l", FallocateFlags::empty(), 0, 10_000).gives("ok");
        at.stat("l").gives("100644 0:0 10000 bytes links=1");
        at.fallocate("l", FallocateFlags::KEEP_SIZE, 0, 100_000).gives("ok");
        at.stat("l").gives("100644 0:0 10000 bytes links=1");
    });
}

#[test]
fn holes_are_punched_and_ranges_zeroed() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 65536*A\n f m 644 65536*B", |at| {
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        at.fallocate("l", punch, 4096, 8192).gives("ok");
        at.extents("l").gives("data 0-4096 12288-65536 of 65536");
        at.fallocate("m", FallocateFlags::ZERO_RANGE, 10, 100).gives("ok");
        at.read("m");
    });
}

#[test]
fn unknown_ways_to_allocate_are_refused() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 x", |at| {
        at.fallocate("l", FallocateFlags::PUNCH_HOLE, 0, 10).gives("EOPNOTSUPP");
        at.fallocate("l", FallocateFlags::empty(), 0, 0).gives("EINVAL");
    });
}

#[test]
fn data_and_holes_are_found_in_every_layer() {
    need!(fuse, overlay);
    check("upper:\n f u 644 U\n lower:\n f l 644 L\n f empty 644 \"\"", |at| {
        for name in ["u", "l"] {
            at.extents(name);
            at.truncate(name, 1 << 20).gives("ok");
            at.write_at(name, 512 << 10, "data").gives("ok");
            at.extents(name).gives("data 0-4096 524288-528384 of 1048576");
        }
        at.extents("empty").gives("data  of 0");
    });
}

#[test]
fn ranges_are_copied_between_layers() {
    need!(fuse, overlay);
    check("upper:\n f u 644 20000*U\n lower:\n f l 644 20000*L\n f m 644 20000*M", |at| {
        at.copy_range("l", "u", (100, 5000), 10_000).gives("10000");
        at.copy_range("u", "m", (4096, 19_000), 8192).gives("8192");
        at.copy_range("m", "l", (26_000, 0), 10_000);
        at.read("m");
    });
}

#[test]
fn a_range_is_copied_within_one_file() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 8192*L", |at| {
        at.write_at("l", 0, "head").gives("ok");
        at.copy_range("l", "l", (0, 8192), 4096).gives("4096");
        at.copy_range("l", "l", (0, 100), 4096).gives("EINVAL");
    });
}

#[test]
fn a_range_is_copied_far_into_a_file_when_more_than_there_is_is_asked_for() {
    need!(fuse, overlay);
    const FAR: u64 = 5 << 30;
    check("upper:\n f m 644 m\n lower:\n f l 644 20000*L", |at| {
        at.truncate("m", FAR).gives("ok");
        at.copy_range("l", "m", (10_000, FAR), FAR as usize).gives("10000");
        at.copy_range("m", "l", (FAR + 5000, 20_000), FAR as usize).gives("5000");
        at.read("l");
        at.truncate("m", 1).gives("ok");
    });
}

/// Linux asks with a 64-bit count from 6.18 on, and with the other one before; never one after the other.
#[test]
fn a_copy_is_asked_for_once() {
    need!(fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\n f u 644 20000*U\n lower:\n f l 644 20000*L");
    let mounted = mount_with(&layers, &dir.path().join("at"), "rw");
    let at = At::new(mounted.at());
    for index in 0..5 {
        at.copy_range("l", "u", (0, index * 20_000), 20_000).gives("20000");
    }
    let requests = stats(mounted.at()).expect("the counts of the mount").requests;
    let [narrow, wide] = ["COPY_FILE_RANGE", "COPY_FILE_RANGE_64"].map(|name| requests.get(name).copied());
    assert!([(None, Some(5)), (Some(5), None)].contains(&(narrow, wide)), "{requests:?}");
    mounted.unmount();
}
