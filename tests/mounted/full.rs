//! A full upper layer: a change that does not fit fails with the right error, leaves nothing half done, and keeps the
//! existing files.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags};

use crate::need;
use crate::support::{At, Layers, Mounted, Subject, alone, scratch, show};

/// A union whose upper layer is on a small file system.
struct Small {
    mounted: Option<Mounted>,
    disk: PathBuf,
    layers: Layers,
    _dir: tempfile::TempDir,
}

impl Small {
    /// On a tmpfs.
    fn new(subject: Subject, options: &str, lower: &str) -> Small {
        Small::on(subject, lower, |_, disk| {
            let options = std::ffi::CString::new(options).expect("options");
            let mounted = rustix::mount::mount("tmpfs", disk, "tmpfs", MountFlags::empty(), options.as_c_str());
            mounted.expect("mount a tmpfs");
        })
    }

    /// On a file system with enough room, and a quota of 1 MiB that also limits root.
    fn with_quota(subject: Subject, lower: &str) -> Small {
        Small::on(subject, lower, |dir, disk| {
            let script = "truncate -s 256M $0/image && mkfs.btrfs -q $0/image && mount -o loop $0/image $1 &&
                btrfs -q quota enable $1 && btrfs -q qgroup limit 1M $1 && sync -f $1";
            let made = Command::new("sh").args(["-ec", script]).args([dir, disk]).output().expect("start sh");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        })
    }

    fn on(subject: Subject, lower: &str, mount: impl FnOnce(&Path, &Path)) -> Small {
        let dir = scratch();
        let disk = dir.path().join("disk");
        fs::create_dir(&disk).expect("make a mount point");
        mount(dir.path(), &disk);
        let mut layers = Layers::build(dir.path(), &format!("lower:\n{lower}"));
        let [upper, work] = ["upper", "work"].map(|name| disk.join(name));
        fs::create_dir(&upper).and_then(|()| fs::create_dir(&work)).expect("make the upper and its work directory");
        layers.upper = Some((upper, work));
        let mounted = subject.mount(&layers, &dir.path().join("at"));
        Small { mounted: Some(mounted), disk, layers, _dir: dir }
    }

    fn at(&self) -> At {
        At::new(self.mounted.as_ref().expect("mounted until it is dropped").at())
    }

    /// Fills the disk except for `pages`.
    fn fill(&self, pages: u64) {
        let path = self.disk.join("ballast");
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path).expect("create the ballast");
        let mut size = 0;
        while file.write_all_at(&[1; 4096], size).is_ok() {
            size += 4096;
        }
        file.set_len(size - pages * 4096).expect("make room");
    }

    fn make_room(&self) {
        fs::remove_file(self.disk.join("ballast")).expect("remove the ballast");
    }

    /// Fails if the work directory holds unfinished files.
    #[track_caller]
    fn assert_nothing_is_staged(&self) {
        fn files(dir: &Path) -> Vec<PathBuf> {
            let entries = fs::read_dir(dir).expect("list").map(|entry| entry.expect("list").path());
            entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
        }
        let (_, work) = self.layers.upper.as_ref().expect("an upper");
        let left: Vec<PathBuf> =
            files(work).into_iter().filter(|path| fs::metadata(path).is_ok_and(|meta| meta.len() > 0)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.mounted.take();
        let _ = rustix::mount::unmount(&self.disk, UnmountFlags::DETACH);
    }
}

#[test]
fn a_copy_up_that_does_not_fit_fails_and_leaves_nothing() {
    need!(fuse, overlay);
    for subject in Subject::BOTH {
        let small = Small::new(subject, "size=1m", "f large 644 2097152*A\nf d/large 600 2097152*B");
        let at = small.at();
        for path in ["large", "d/large"] {
            // The copy-up fails, so the first change gets the error.
            at.append(path, "x").gives("ENOSPC");
            at.write_at(path, 4096, "x").gives("ENOSPC");
            at.truncate(path, 1_500_000).gives("ENOSPC");
            small.assert_nothing_is_staged();
        }
        assert_eq!(at.stat("large").0, "100644 0:0 2097152 bytes links=1");
        assert_eq!(show(&small.mounted.as_ref().expect("mounted").at().join("d")), "f large 600 2097152*B");
        assert!(!small.layers.upper().join("large").exists());
        // A change that copies no content still works; with free space all others work again.
        at.write("large", "").gives("ok");
        at.unlink("d/large").gives("ok");
        at.create("new", 0o644, "new").gives("ok");
    }
}

#[test]
fn what_is_written_beyond_the_room_is_refused_at_the_write() {
    need!(fuse, overlay);
    // The space of the ballast is freed when its last descriptor is closed.
    if !alone("full::what_is_written_beyond_the_room_is_refused_at_the_write") {
        return;
    }
    for subject in Subject::BOTH {
        let small = Small::new(subject, "size=1m", "f x 644 x");
        let at = small.at();
        at.append("x", "y").gives("ok");
        small.fill(2);
        let file = OpenOptions::new().write(true).open(at.path("x")).expect("open");
        let mut written = 4096;
        let refused = loop {
            match file.write_at(&[2; 4096], written) {
                Ok(_) => written += 4096,
                Err(error) => break error,
            }
        };
        assert_eq!(refused.raw_os_error(), Some(libc::ENOSPC), "{subject:?}");
        assert_eq!(written, 3 * 4096, "{subject:?}");
        at.note(
            "allocate",
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 1 << 20)
                .map(|()| "")
                .map_err(Into::into),
        )
        .gives("ENOSPC");
        assert_eq!(file.metadata().expect("stat").len(), written, "{subject:?}");
        small.make_room();
        file.write_all_at(&[3; 8192], written).expect("write when there is room");
    }
}

/// A whiteout, a directory above and a new name each need an inode of the upper's file system.
#[test]
fn names_that_do_not_fit_are_refused_and_what_is_there_stays() {
    need!(fuse, overlay);
    for subject in Subject::BOTH {
        let small = Small::new(subject, "size=1m,nr_inodes=24", "f x 644 x\nf y 644 y\nf d/e/z 644 z\nl s x");
        let at = small.at();
        let mut made = 0;
        while at.create(&format!("new{made}"), 0o644, "").0 == "ok" {
            made += 1;
            assert!(made < 30, "{subject:?}");
        }
        let before = show(small.mounted.as_ref().expect("mounted").at());
        for refused in [
            at.create("another", 0o644, ""),
            at.mkdir("another", 0o755),
            at.symlink("x", "another"),
            at.mknod("another", rustix::fs::FileType::Fifo, 0o644, (0, 0)),
            at.append("x", "x"),
            at.chmod("y", 0o600),
            at.chmod("d/e/z", 0o600),
            at.chmod("d/e", 0o700),
            at.create("d/e/new", 0o644, ""),
            at.link("x", "another"),
            at.rename("s", "another"),
        ] {
            assert_eq!(refused.0, "ENOSPC", "{subject:?}: {:#?}", at.log());
        }
        assert_eq!(show(small.mounted.as_ref().expect("mounted").at()), before, "{subject:?}");
        for n in 0..made {
            at.unlink(&format!("new{n}")).gives("ok");
        }
        at.append("d/e/z", "+").gives("ok");
        at.rename("s", "another").gives("ok");
        at.unlink("x").gives("ok");
    }
}

#[test]
fn nothing_that_failed_on_a_full_disk_is_there_after_a_remount() {
    need!(fuse, overlay);
    let small = Small::new(Subject::Overfuse, "size=1m", "f large 644 2097152*A\nf d/large 600 2097152*B");
    let at = small.at();
    for path in ["large", "d/large"] {
        at.append(path, "x").gives("ENOSPC");
        at.rename(path, "moved");
    }
    let before = show(small.mounted.as_ref().expect("mounted").at());
    let mut small = small;
    small.mounted.take().expect("mounted").unmount();
    for subject in Subject::BOTH {
        let again = subject.mount(&small.layers, &small.disk.with_file_name("again"));
        assert_eq!(show(again.at()), before, "{subject:?}");
    }
}

#[test]
fn a_quota_is_told_at_the_call_that_exceeds_it() {
    need!(root, fuse, overlay, btrfs);
    for subject in Subject::BOTH {
        let small = Small::with_quota(subject, "f large 644 2097152*A\nf x 644 x");
        let at = small.at();
        at.append("large", "x").gives("EDQUOT");
        assert_eq!(at.stat("large").0, "100644 0:0 2097152 bytes links=1", "{subject:?}");
        small.assert_nothing_is_staged();
        at.append("x", "y").gives("ok");
        let file = OpenOptions::new().append(true).open(at.path("x")).expect("open");
        let refused = (0..100).find_map(|_| std::io::Write::write_all(&mut &file, &[1; 65536]).err());
        assert_eq!(refused.and_then(|error| error.raw_os_error()), Some(libc::EDQUOT), "{subject:?}");
        assert!(file.metadata().expect("stat").len() <= 1 << 20, "{subject:?}");
    }
}
