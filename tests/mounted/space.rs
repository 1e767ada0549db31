//! Allocation in every mode that a file system has, holes after a copy-up, and large xattrs.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom, XattrFlags};

use crate::need;
use crate::support::{At, Layers, Subject, check, scratch};

const MODES: [(&str, FallocateFlags); 5] = [
    ("plain", FallocateFlags::empty()),
    ("keep", FallocateFlags::KEEP_SIZE),
    ("punch", FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE)),
    ("zero", FallocateFlags::ZERO_RANGE),
    ("zero-keep", FallocateFlags::ZERO_RANGE.union(FallocateFlags::KEEP_SIZE)),
];

#[test]
fn every_mode_of_allocation_does_what_the_upper_does_or_is_refused_alike() {
    need!(fuse, overlay);
    for layer in ["upper:\n lower:\n", "lower:\n upper:\n"] {
        let files: String = MODES.iter().map(|(name, _)| format!("f {name} 644 40000*x\n")).collect();
        check(&format!("{layer}{files}f odd 644 40000*x"), |at| {
            for (name, mode) in MODES {
                let before = at.read(name);
                drop(before);
                at.fallocate(name, mode, 4096, 8192);
                at.read(name);
                at.stat(name);
                at.fallocate(name, mode, 32_768, 65_536);
                at.read(name);
                at.stat(name);
                at.extents(name);
            }
            at.fallocate("odd", FallocateFlags::PUNCH_HOLE, 0, 4096);
            at.fallocate("odd", FallocateFlags::INSERT_RANGE | FallocateFlags::KEEP_SIZE, 0, 4096);
            at.fallocate("odd", FallocateFlags::empty(), 0, 0);
        });
    }
}

/// Linux does not pass these modes to FUSE file systems.
#[test]
fn ranges_are_neither_collapsed_nor_inserted() {
    need!(fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\n lower:\n f l 644 40960*x");
    let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("at"));
    let at = At::new(mounted.at());
    at.fallocate("l", FallocateFlags::COLLAPSE_RANGE, 4096, 8192).gives("EOPNOTSUPP");
    at.fallocate("l", FallocateFlags::INSERT_RANGE, 4096, 8192).gives("EOPNOTSUPP");
    at.read("l").gives("40960*x");
    mounted.unmount();
}

#[test]
fn a_cached_file_shows_what_was_allocated_away() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 40960*x", |at| {
        let seen = || {
            let reader = File::open(at.path("l"))?;
            let mut whole = vec![0; 40_960];
            reader.read_exact_at(&mut whole, 0)?;
            let writer = OpenOptions::new().write(true).open(at.path("l"))?;
            rustix::fs::fallocate(&writer, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 4096, 4096)?;
            reader.read_exact_at(&mut whole, 0)?;
            let zeros = whole.iter().filter(|byte| **byte == 0).count();
            rustix::fs::fallocate(&writer, FallocateFlags::ZERO_RANGE, 20_000, 10)?;
            reader.read_exact_at(&mut whole, 0)?;
            let more = whole.iter().filter(|byte| **byte == 0).count();
            Ok(format!("{zeros} {more}"))
        };
        at.note("read after punching and zeroing", seen()).gives("4096 4106");
    });
}

/// 1 GiB with three blocks of data.
fn make_sparse(path: &Path) {
    let file = File::create(path).expect("create");
    file.set_len(1 << 30).expect("grow");
    for at in [0, 1 << 20, (1 << 30) - 4096] {
        file.write_all_at(&[b'd'; 4096], at).expect("write");
    }
}

#[test]
fn sparse_files_of_a_layer_come_up_sparse() {
    need!(fuse, overlay);
    for subject in Subject::BOTH {
        let dir = scratch();
        let layers = Layers::build(dir.path(), "upper:\n lower:\n");
        make_sparse(&layers.lowers[0].join("l"));
        let mounted = subject.mount(&layers, &dir.path().join("at"));
        let at = At::new(mounted.at());
        // Kernel overlayfs copies up in pieces of 2 MiB, including the holes in them.
        let most = if subject == Subject::Kernel { 10_000 } else { 24 };
        let extents = "data 0-4096 1048576-1052672 1073737728-1073741824 of 1073741824";
        let sparse = |when: &str| {
            let meta = std::fs::metadata(at.path("l")).expect("stat");
            assert_eq!(meta.len(), 1 << 30, "{subject:?} {when}");
            assert!(meta.blocks() <= most, "{subject:?} {when}: {} blocks", meta.blocks());
            if when == "before" || subject == Subject::Overfuse {
                at.extents("l").gives(extents);
            }
        };
        sparse("before");
        let reader = File::open(at.path("l")).expect("open");
        at.write_at("l", 100, "new").gives("ok");
        sparse("after");
        let data = rustix::fs::seek(&reader, SeekFrom::Data(16 << 20)).expect("seek");
        assert!(data > 1 << 29, "{subject:?}: a reader from before");
        drop(reader);
        mounted.unmount();
        let blocks = std::fs::metadata(layers.upper().join("l")).expect("stat").blocks();
        assert!(blocks <= most, "{subject:?}: {blocks} blocks in the upper");
    }
}

#[test]
fn seeking_ends_where_the_file_ends() {
    need!(fuse, overlay);
    check("upper:\n f u 644 5000*u\n lower:\n f l 644 5000*l", |at| {
        for name in ["u", "l"] {
            let file = File::open(at.path(name)).expect("open");
            for from in [
                SeekFrom::Data(4999),
                SeekFrom::Hole(4999),
                SeekFrom::Data(5000),
                SeekFrom::Hole(5000),
                SeekFrom::Hole(9000),
            ] {
                let found = rustix::fs::seek(&file, from).map(|at| at.to_string()).map_err(io::Error::from);
                at.note(format_args!("seek {name} {from:?}"), found);
            }
            // SAFETY: a live descriptor and numbers: an offset before the beginning.
            let before = match unsafe { libc::lseek(std::os::fd::AsRawFd::as_raw_fd(&file), -1, libc::SEEK_DATA) } {
                -1 => Err(io::Error::last_os_error()),
                found => Ok(found.to_string()),
            };
            at.note(format_args!("seek {name} before the beginning"), before).gives("ENXIO");
        }
    });
}

/// If the file system of the layers supports xattrs of this size; otherwise both subjects refuse them alike.
#[test]
fn attributes_of_every_size_pass_and_come_up() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 l\n f m 644 m", |at| {
        for size in [0, 1, 511, 512, 513, 3000, 3600, 4096, 10_000, 65_535, 65_536] {
            let value = vec![b'v'; size];
            let set = rustix::fs::setxattr(at.path("l"), "user.large", &value, XattrFlags::empty());
            at.note(format_args!("set {size}"), set.map(|()| "").map_err(io::Error::from));
            let mut buffer = vec![0; 1 << 16];
            let got =
                rustix::fs::getxattr(at.path("l"), "user.large", &mut buffer[..]).map(|length| length.to_string());
            at.note("length", got.map_err(io::Error::from));
            let asked =
                rustix::fs::getxattr(at.path("l"), "user.large", &mut [0u8; 0][..]).map(|length| length.to_string());
            at.note("length without a buffer", asked.map_err(io::Error::from));
            let small =
                rustix::fs::getxattr(at.path("l"), "user.large", &mut [0u8; 10][..]).map(|length| length.to_string());
            at.note("into ten bytes", small.map_err(io::Error::from));
        }
        // One byte more than Linux allows.
        let set = rustix::fs::setxattr(at.path("l"), "user.large", &vec![0; 65_537], XattrFlags::empty());
        at.note("set 65537", set.map(|()| "").map_err(io::Error::from)).gives("errno 7");
        // If this xattr used all the space for xattrs, none would be left for the marks.
        at.remove_xattr("l", "user.large");
        at.rename("l", "renamed").gives("ok");
        at.chmod("m", 0o600).gives("ok");
    });
}

/// On tmpfs, which supports them since Linux 6.6; the file system of the other tests may not.
#[test]
fn attributes_of_64_kib_and_long_lists_of_them_come_up() {
    need!(fuse, overlay);
    for subject in Subject::BOTH {
        let Ok(dir) = tempfile::Builder::new().prefix("overfuse-").tempdir_in("/dev/shm") else { return };
        let layers = Layers::build(dir.path(), "upper:\n lower:\n f l 644 l");
        let lower = layers.lowers[0].join("l");
        let value = vec![b'v'; 65_536];
        if rustix::fs::setxattr(&lower, "user.large", &value, XattrFlags::empty()).is_err() {
            return;
        }
        for n in 0..250 {
            let key = format!("user.{n:0200}");
            rustix::fs::setxattr(&lower, key.as_str(), b"x", XattrFlags::empty()).expect("set an attribute");
        }
        let mounted = subject.mount(&layers, &dir.path().join("at"));
        let path = mounted.at().join("l");
        let seen = |when: &str| {
            let mut buffer = vec![0; 65_536];
            let length = rustix::fs::getxattr(&path, "user.large", &mut buffer[..]).expect("get");
            assert!(buffer[..length] == value, "{subject:?} {when}");
            let listed = rustix::fs::listxattr(&path, &mut buffer[..]).expect("list");
            let names = buffer[..listed].split(|byte| *byte == 0).filter(|name| !name.is_empty());
            assert_eq!(names.count(), 251, "{subject:?} {when}");
        };
        seen("below");
        std::fs::write(&path, "up").expect("bring it up");
        seen("above");
        mounted.unmount();
        assert!(layers.upper().join("l").exists());
    }
}
