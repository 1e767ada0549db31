//! Rare system calls, which must answer as on other file systems.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use overfuse::fuse::stats;
use rustix::fs::{AtFlags, Mode, OFlags};

use crate::need;
use crate::support::{At, Layers, check, mount_with, scratch};

/// `O_TMPFILE`: not every kind of mount supports it, and programs fall back to a named file.
#[test]
fn a_temporary_file_is_to_be_had_one_way_or_the_other() {
    need!(fuse, overlay);
    check("upper:\n lower:\n d d 1777", |at| {
        let script = "f=$(mktemp -p d); echo x > $f; rm $f; ls d | wc -l";
        let output = std::process::Command::new("sh").args(["-ec", script]).current_dir(at.path("")).output();
        let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string());
        at.note("mktemp", said).gives("0");
        let made = tempfile::tempfile_in(at.path("d")).and_then(|mut file| {
            file.write_all(b"content")?;
            let meta = file.metadata()?;
            Ok(format!("{} bytes links={}", meta.len(), meta.nlink()))
        });
        at.note("a file without a name", made).gives("7 bytes links=0");
        at.list("d").gives("ok");
    });
}

#[test]
fn a_descriptor_of_a_path_alone_works_with_what_takes_one() {
    need!(fuse, overlay);
    check("upper:\n f u 644 upper\n lower:\n f l 644 lower\n f dir/x 644 x\n l s l", |at| {
        for name in ["u", "l", "dir", "s"] {
            let used = || {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::open(at.path(name), flags, Mode::empty())?;
                let stat = rustix::fs::fstat(&fd)?;
                let refused = rustix::io::read(&fd, &mut [0u8; 1]).map(drop).unwrap_err();
                let again =
                    fs::metadata(format!("/proc/self/fd/{}", fd.as_raw_fd())).map(|meta| meta.ino() == stat.st_ino);
                Ok(format!("{:o} {refused:?} {:?}", stat.st_mode, again.ok()))
            };
            at.note(format_args!("O_PATH {name}"), used());
        }
        let dir = rustix::fs::open(at.path("dir"), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).expect("open");
        at.rename("dir/x", "dir/y").gives("ok");
        let inside = rustix::fs::statat(&dir, "y", AtFlags::empty()).map(|stat| stat.st_size.to_string());
        at.note("stat below an O_PATH directory", inside.map_err(io::Error::from)).gives("1");
    });
}

#[test]
fn an_unknown_ioctl_is_none_of_ours() {
    need!(fuse, overlay);
    check("upper:\n f u 644 u\n lower:\n f l 644 l\n d d 755", |at| {
        for name in ["u", "l", "d"] {
            let file = File::open(at.path(name)).expect("open");
            let mut buffer = [0u8; 256];
            // TCGETS, a block device's size, and an unused number: read and write, 8 bytes.
            for request in [libc::TCGETS, 0x8008_1272, 0xc008_ee01] {
                // SAFETY: the buffer is larger than any of these calls would fill.
                let done = match unsafe { libc::ioctl(file.as_raw_fd(), request as _, buffer.as_mut_ptr()) } {
                    0 => Ok("ok"),
                    _ => Err(io::Error::last_os_error()),
                };
                at.note(format_args!("ioctl {request:x} of {name}"), done).gives("errno 25");
            }
        }
    });
}

#[test]
fn whole_file_systems_are_synced() {
    need!(fuse, overlay);
    check("upper:\n f u 644 u\n lower:\n f l 644 l\n d d 755", |at| {
        at.append("l", "+").gives("ok");
        for name in ["u", "l", "d", ""] {
            let file = File::open(at.path(name)).expect("open");
            at.note(format_args!("syncfs {name}"), rustix::fs::syncfs(&file).map(|()| "").map_err(io::Error::from))
                .gives("ok");
            at.note(format_args!("fsync {name}"), file.sync_all().map(|()| "")).gives("ok");
            at.note(format_args!("fdatasync {name}"), file.sync_data().map(|()| "")).gives("ok");
        }
        let synced = || {
            let mut file = OpenOptions::new().append(true).custom_flags(libc::O_SYNC).open(at.path("u"))?;
            file.write_all(b"synced")
        };
        at.note("write with O_SYNC", synced().map(|()| "")).gives("ok");
        let range = || {
            let file = OpenOptions::new().write(true).open(at.path("u"))?;
            // SAFETY: a live descriptor and numbers.
            match unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) } {
                0 => Ok(""),
                _ => Err(io::Error::last_os_error()),
            }
        };
        at.note("sync_file_range", range()).gives("ok");
    });
}

/// Linux 6.18 sends FUSE_SYNCFS only to virtiofs and `fuseblk`. When this test fails, the request must be answered.
#[test]
fn the_kernel_sends_no_request_for_syncfs() {
    need!(fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\n f u 644 u\n lower:\n");
    let mounted = mount_with(&layers, &dir.path().join("at"), "rw");
    let counted = || stats(mounted.at()).expect("the counts of the mount").requests;
    let file = File::open(mounted.at().join("u")).expect("open");
    rustix::fs::syncfs(&file).expect("syncfs");
    assert_eq!(counted().get("SYNCFS"), None);
    drop(file);
    mounted.unmount();
}

/// A handle that can be opened later must name the file for ever. By default neither kind of mount gives such handles.
#[test]
fn handles_of_files_are_given_to_watchers_alone() {
    need!(root, fuse, overlay);
    const AT_HANDLE_FID: i32 = 0x200;
    check("upper:\n f u 644 u\n lower:\n f l 644 l\n d d 755", |at| {
        for name in ["u", "l", "d"] {
            let path = CString::new(at.path(name).as_os_str().as_bytes()).expect("a path");
            for (what, flags) in [("a handle", 0), ("a name for watchers", AT_HANDLE_FID)] {
                let mut handle = [0u32; 34];
                handle[0] = 128;
                let mut mount = 0;
                // SAFETY: room for a header of two words and 128 bytes, as the first word says.
                let given = match unsafe {
                    libc::name_to_handle_at(
                        libc::AT_FDCWD,
                        path.as_ptr(),
                        handle.as_mut_ptr().cast(),
                        &raw mut mount,
                        flags,
                    )
                } {
                    0 => Ok("given"),
                    _ => Err(io::Error::last_os_error()),
                };
                at.note(format_args!("{what} of {name}"), given);
            }
        }
    });
}

#[test]
fn readahead_and_advice_are_taken() {
    need!(fuse, overlay);
    check("upper:\n f u 644 20000*U\n lower:\n f l 644 20000*L", |at| {
        for name in ["u", "l"] {
            let file = File::open(at.path(name)).expect("open");
            // SAFETY: a live descriptor and numbers.
            let (read, advised) = unsafe {
                (
                    libc::readahead(file.as_raw_fd(), 0, 20_000),
                    libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED),
                )
            };
            at.note(format_args!("readahead and fadvise of {name}"), Ok(format!("{read} {advised}"))).gives("0 0");
            at.read(name);
        }
    });
}

fn open_with(at: &At, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(at.path(path), flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))?)
}

#[test]
fn flags_of_open_are_honoured() {
    need!(fuse, overlay);
    check("upper:\n f u 644 upper\n lower:\n f l 644 lower\n d d 755\n l s l\n l loop loop", |at| {
        for (name, flags) in [
            ("l", OFlags::RDONLY | OFlags::DIRECTORY),
            ("d", OFlags::RDWR),
            ("d", OFlags::RDONLY | OFlags::CREATE),
            ("s", OFlags::RDONLY | OFlags::NOFOLLOW),
            ("loop", OFlags::RDONLY),
            ("s", OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL),
            ("l", OFlags::RDONLY | OFlags::TRUNC),
            ("u", OFlags::WRONLY | OFlags::DSYNC | OFlags::NONBLOCK),
            ("nowhere", OFlags::RDONLY),
            ("new/x", OFlags::WRONLY | OFlags::CREATE),
            ("d/new", OFlags::RDONLY | OFlags::CREATE | OFlags::TRUNC),
            ("d/new", OFlags::RDWR | OFlags::CREATE),
        ] {
            at.note(format_args!("open {name} {flags:?}"), open_with(at, name, flags).map(|_| ""));
        }
    });
}

#[test]
fn flags_of_open_files_can_be_changed() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 lower", |at| {
        let changed = || {
            let fd = open_with(at, "l", OFlags::RDWR)?;
            rustix::fs::fcntl_setfl(&fd, OFlags::APPEND)?;
            rustix::io::write(&fd, b"+end")?;
            rustix::fs::fcntl_setfl(&fd, OFlags::empty())?;
            rustix::fs::seek(&fd, rustix::fs::SeekFrom::Start(0))?;
            rustix::io::write(&fd, b"L")?;
            Ok("")
        };
        at.note("append, then do not", changed()).gives("ok");
        at.read("l").gives("\"Lower+end\"");
        let direct = || {
            let fd = open_with(at, "l", OFlags::RDWR)?;
            rustix::fs::fcntl_setfl(&fd, OFlags::DIRECT)?;
            // SAFETY: nothing else owns the copy.
            let copy = unsafe { OwnedFd::from_raw_fd(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 0)) };
            Ok(format!("{}", rustix::fs::fcntl_getfl(&copy)?.contains(OFlags::DIRECT)))
        };
        at.note("direct from now on", direct()).gives("true");
    });
}
