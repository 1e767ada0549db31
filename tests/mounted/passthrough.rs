//! Passthrough: the kernel itself reads and writes files in their layer, and nothing else differs.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::sync::Barrier;
use std::thread::sleep;
use std::time::Duration;

use overfuse::fuse::stats;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use crate::mmap::Map;
use crate::need;
use crate::support::{At, Layers, Subject, mount_with, scratch};

/// How often each request came.
fn requests(at: &Path) -> BTreeMap<String, u64> {
    stats(at).expect("the counts of the mount").requests
}

fn data_requests(at: &Path) -> u64 {
    ["READ", "WRITE"].iter().map(|name| requests(at).get(*name).copied().unwrap_or(0)).sum()
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).expect("open to read and write")
}

#[test]
fn files_of_the_upper_are_read_and_written_without_a_word() {
    need!(root, fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\n f u 644 upper\n lower:\n");
    let mounted = mount_with(&layers, &dir.path().join("at"), "io=passthrough");
    let at = mounted.at();
    let block = vec![7; 4096];
    for name in ["u", "new"] {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(at.join(name));
        let file = file.expect("open");
        for index in 0..50 {
            file.write_all_at(&block, index * 4096).expect("write");
        }
        let again = open(&at.join(name));
        again.write_all_at(b"again", 10_000).expect("write");
        assert_eq!(file.metadata().expect("fstat").len(), 50 * 4096);
        let seen = fs::read(at.join(name)).expect("read");
        assert_eq!((seen.len(), &seen[9_999..10_006]), (50 * 4096, &b"\x07again\x07"[..]));
        assert_eq!(fs::read(layers.upper().join(name)).expect("read"), seen);
    }
    assert_eq!(data_requests(at), 0, "{:?}", requests(at));
    mounted.unmount();
}

#[test]
fn a_union_that_nothing_can_change_is_read_without_a_word_and_without_a_trace() {
    need!(root, fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "lower:\n f small 644 small\n lower:\n f large 644 large\n");
    let content = vec![b'x'; 300_000];
    let [large, small] = [layers.lowers[1].join("large"), layers.lowers[0].join("small")];
    fs::write(&large, &content).expect("write");
    let old = Timespec { tv_sec: 900_000_000, tv_nsec: 0 };
    let set = Timestamps { last_access: old, last_modification: old };
    for path in [&large, &small] {
        rustix::fs::utimensat(CWD, path, &set, AtFlags::empty()).expect("set the atime");
    }
    let mounted = mount_with(&layers, &dir.path().join("at"), "io=passthrough");
    assert!(fs::read(mounted.at().join("large")).expect("read") == content);
    let map = Map::new(&File::open(mounted.at().join("large")).expect("open"), libc::PROT_READ).expect("map");
    assert_eq!(map.byte(299_999), b'x');
    drop(map);
    assert_eq!(data_requests(mounted.at()), 0, "{:?}", requests(mounted.at()));
    assert_eq!(fs::read(mounted.at().join("small")).expect("read"), b"small");
    for path in [&large, &small] {
        assert_eq!(fs::metadata(path).expect("stat").atime(), 900_000_000, "{}", path.display());
    }
    mounted.unmount();
}

#[test]
fn what_is_protected_is_not_opened_to_be_written_as_by_the_kernel() {
    need!(root, fuse, overlay, flags);
    let answers = |subject: Subject| {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\n lower:\n f fixed 644 x\n f log 644 x\n f free 644 x\n");
        let mounted = match subject {
            Subject::Kernel => subject.mount(&layers, &dir.path().join("at")),
            Subject::Overfuse => mount_with(&layers, &dir.path().join("at"), "io=passthrough"),
        };
        let path = |name: &str| mounted.at().join(name);
        for (flag, name) in [("+i", "fixed"), ("+a", "log")] {
            assert!(Command::new("chattr").arg(flag).arg(path(name)).status().expect("start chattr").success());
        }
        let mut answers = Vec::new();
        for name in ["fixed", "log", "free"] {
            for (read, write, append) in [
                (true, false, false),
                (false, true, false),
                (true, true, false),
                (false, true, true),
                (true, true, true),
            ] {
                let opened = OpenOptions::new().read(read).write(write).append(append).open(path(name));
                let refused = opened.err().and_then(|error| error.raw_os_error());
                answers.push(format!("{name}, read {read}, write {write}, append {append}: {refused:?}"));
            }
        }
        mounted.unmount();
        answers
    };
    assert_eq!(answers(Subject::Overfuse), answers(Subject::Kernel));
}

#[test]
fn a_file_that_comes_up_while_it_is_open_is_passed_through_when_nobody_has_it_open_any_more() {
    need!(root, fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\n lower:\n f l 644 lower\n");
    let mounted = mount_with(&layers, &dir.path().join("at"), "io=passthrough");
    let path = mounted.at().join("l");
    let reader = File::open(&path).expect("open");
    let map = Map::new(&reader, libc::PROT_READ).expect("map");
    open(&path).write_all_at(b"U", 0).expect("write");
    // A descriptor opened now writes to the upper file, but the reader and its map still use the page cache.
    open(&path).write_all_at(b"P", 1).expect("write");
    let mut seen = [0; 5];
    reader.read_exact_at(&mut seen, 0).expect("read");
    assert_eq!((&seen, map.byte(0), map.byte(1)), (b"UPwer", b'U', b'P'));
    drop((reader, map));
    let before = data_requests(mounted.at());
    // RELEASE comes a moment after the last close.
    for patience in 0.. {
        open(&path).write_all_at(b"E", 2).expect("write");
        if data_requests(mounted.at()) == before + patience {
            break;
        }
        assert!(patience < 100, "still written by the daemon: {:?}", requests(mounted.at()));
        sleep(Duration::from_millis(10));
    }
    assert_eq!(fs::read(&path).expect("read"), b"UPEer");
    mounted.unmount();
}

#[test]
fn what_is_written_through_a_map_moves_the_times_that_are_shown() {
    need!(fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\n f u 644 upper\n lower:\n");
    let mounted = mount_with(&layers, &dir.path().join("at"), "io=passthrough");
    let path = mounted.at().join("u");
    let mtime = || fs::metadata(&path).map(|now| (now.mtime(), now.mtime_nsec())).expect("stat");
    mtime();
    let map = Map::new(&open(&path), libc::PROT_READ | libc::PROT_WRITE).expect("map");
    let mut before = mtime();
    for byte in [1, 2] {
        // The times change only when the file system's clock has ticked and the page was written back.
        sleep(Duration::from_millis(20));
        map.set(0, byte);
        map.sync().expect("msync");
        assert!(mtime() > before);
        before = mtime();
    }
    sleep(Duration::from_millis(20));
    map.set(0, 3);
    drop(map);
    assert!(mtime() > before);
    mounted.unmount();
}

#[test]
fn layers_from_which_nothing_can_be_passed_are_read_and_written_all_the_same() {
    need!(root, fuse, overlay);
    let dir = scratch();
    let below = Layers::build(&dir.path().join("below"), "upper:\n lower:\n");
    let overlay = Subject::Kernel.mount(&below, &dir.path().join("overlay"));
    let layers = Layers::build(overlay.at(), "upper:\n f u 644 upper\n lower:\n f l 644 lower\n");
    for layers in [layers.clone(), layers.read_only()] {
        let mounted = mount_with(&layers, &dir.path().join("at"), "io=passthrough");
        let path = mounted.at().join("l");
        let reader = File::open(&path).expect("open");
        assert_eq!(fs::read(&path).expect("read"), b"lower");
        if layers.upper.is_some() {
            for name in ["u", "l", "new"] {
                fs::write(mounted.at().join(name), "written").expect("write");
                open(&mounted.at().join(name)).write_all_at(b"W", 0).expect("write");
                assert_eq!(fs::read(mounted.at().join(name)).expect("read"), b"Written");
            }
        }
        drop(reader);
        mounted.unmount();
    }
    overlay.unmount();
}

#[test]
fn what_a_short_lower_file_holds_is_there_when_it_is_opened_first() {
    need!(root, fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\n lower:\n");
    let sizes = [0, 1, 4095, 4096, 4097, 65_535, 65_536];
    let content = |size: usize| (0..size).map(|index| (index % 251) as u8).collect::<Vec<u8>>();
    for size in sizes {
        fs::write(layers.lowers[0].join(size.to_string()), content(size)).expect("write");
    }
    // With `io=cached` the content is not sent at open.
    for (options, given) in [("io=passthrough", 65_535), ("io=passthrough,threads=1", 65_535), ("io=cached", 0)] {
        let mounted = mount_with(&layers, &dir.path().join("at"), options);
        for size in sizes {
            let path = mounted.at().join(size.to_string());
            let before = data_requests(mounted.at());
            assert!(fs::read(&path).expect("read") == content(size), "{options}: {size}");
            assert_eq!(data_requests(mounted.at()) == before, size <= given, "{options}: {size}");
            // Dropped pages are read again.
            let file = File::open(&path).expect("open");
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("drop the pages");
            assert!(fs::read(&path).expect("read") == content(size), "{options}: {size}, again");
            assert!(size == 0 || data_requests(mounted.at()) > before);
        }
        mounted.unmount();
    }
}

#[test]
fn what_is_cut_while_it_is_opened_first_stays_cut() {
    need!(root, fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\n lower:\n");
    let old = vec![b'o'; 9000];
    let names: Vec<String> = (0..200).map(|index| format!("f{index}")).collect();
    for name in &names {
        fs::write(layers.lowers[0].join(name), &old).expect("write");
    }
    for options in ["io=passthrough,threads=1", "io=passthrough", "io=passthrough,threads=8"] {
        let mounted = mount_with(&layers, &dir.path().join("at"), options);
        for (index, name) in names.iter().enumerate() {
            let path = mounted.at().join(name);
            let kept = [0, 10, 4096, 5000][index % 4];
            let start = &Barrier::new(2);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // By path, so that this does not open the file. Bytes beyond the cut are zeros now.
                    let at = At::new(mounted.at());
                    start.wait();
                    at.truncate_path(name, kept as u64).gives("ok");
                    at.truncate_path(name, old.len() as u64).gives("ok");
                });
                scope.spawn(|| {
                    start.wait();
                    fs::read(&path).expect("read");
                });
            });
            let mut expected = old.clone();
            expected[kept..].fill(0);
            assert!(fs::read(&path).expect("read") == expected, "{options}: {name}");
            assert!(fs::read(layers.upper().join(name)).expect("read") == expected, "{options}: {name}");
        }
        mounted.unmount();
        fs::remove_dir_all(layers.upper()).expect("clean the upper");
        fs::create_dir(layers.upper()).expect("make the upper anew");
    }
}
