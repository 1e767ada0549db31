//! Locks between processes and between descriptors, whatever happens to the file meanwhile.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::need;
use crate::support::child::{self, End};
use crate::support::{At, alone, check};

fn both_ways(path: impl AsRef<Path>) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// A lock of bytes, tried once: `F_SETLK` for the process, `F_OFD_SETLK` for the descriptor.
fn lock(file: &File, command: i32, kind: i32, start: i64, length: i64) -> Result<(), i32> {
    // SAFETY: all-zero bytes are a valid value of these plain integers.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = kind as i16;
    range.l_whence = libc::SEEK_SET as i16;
    (range.l_start, range.l_len) = (start, length);
    // SAFETY: a live descriptor, and a structure that outlives the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, &range) } {
        0 => Ok(()),
        _ => Err(child::errno()),
    }
}

fn said(result: Result<(), i32>) -> io::Result<&'static str> {
    result.map(|()| "").map_err(io::Error::from_raw_os_error)
}

/// As [`lock`], by a child process that uses the inherited descriptor.
fn lock_elsewhere(file: &File, kind: i32, start: i64, length: i64) -> io::Result<&'static str> {
    match child::run(|| lock(file, libc::F_SETLK, kind, start, length).err().unwrap_or(0)) {
        End::Exited(0) => Ok(""),
        End::Exited(errno) => Err(io::Error::from_raw_os_error(errno)),
        End::Killed(signal) => panic!("killed by signal {signal}"),
    }
}

/// Checks how a lock that was taken before `between` blocks a second one after it.
fn held_over(at: &At, path: &str, between: impl Fn()) {
    let (mine, theirs) = (both_ways(at.path(path)).expect("open"), both_ways(at.path(path)).expect("open"));
    for (what, command) in [("process", libc::F_SETLK), ("descriptor", libc::F_OFD_SETLK)] {
        at.note(format_args!("{what} locks 0-9"), said(lock(&mine, command, libc::F_WRLCK, 0, 10))).gives("ok");
        between();
        at.note("another wants 5-9", lock_elsewhere(&theirs, libc::F_WRLCK, 5, 5)).gives("EAGAIN");
        at.note("another reads 5-9", lock_elsewhere(&theirs, libc::F_RDLCK, 5, 5)).gives("EAGAIN");
        at.note("another wants 10-19", lock_elsewhere(&theirs, libc::F_WRLCK, 10, 10)).gives("ok");
        at.note(format_args!("{what} shares 0-9"), said(lock(&mine, command, libc::F_RDLCK, 0, 10))).gives("ok");
        at.note("another reads 5-9", lock_elsewhere(&theirs, libc::F_RDLCK, 5, 5)).gives("ok");
        at.note(format_args!("{what} unlocks"), said(lock(&mine, command, libc::F_UNLCK, 0, 0))).gives("ok");
        at.note("another wants 5-9", lock_elsewhere(&theirs, libc::F_WRLCK, 5, 5)).gives("ok");
    }
}

#[test]
fn locks_of_bytes_are_seen_by_other_processes() {
    need!(fuse, overlay);
    check("upper:\n f u 644 upper\n lower:\n f l 644 lower", |at| {
        held_over(at, "u", || ());
        held_over(at, "l", || ());
    });
}

#[test]
fn locks_of_bytes_hold_over_a_copy_up_and_a_rename() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 lower\n f m 644 lower", |at| {
        // By path: closing another descriptor of the file would release this process's locks.
        held_over(at, "l", || drop(at.truncate_path("l", 3)));
        held_over(at, "m", || drop((at.rename("m", "n"), at.rename("n", "m"))));
    });
}

#[test]
fn a_lock_taken_on_a_lower_file_before_the_copy_up_is_seen_after_it() {
    need!(fuse);
    // Kernel overlayfs also keeps locks on its own inode, so only Overfuse is tested.
    let dir = crate::support::scratch();
    let layers = crate::support::Layers::build(dir.path(), "upper:\n lower:\n f l 644 lower");
    let mounted = crate::support::Subject::Overfuse.mount(&layers, &dir.path().join("at"));
    let path = mounted.at().join("l");
    let reader = File::open(&path).expect("open");
    lock(&reader, libc::F_SETLK, libc::F_RDLCK, 0, 10).expect("lock for reading");
    let writer = both_ways(&path).expect("open for writing");
    std::os::unix::fs::FileExt::write_all_at(&writer, b"new", 0).expect("write");
    let refused = lock_elsewhere(&both_ways(&path).expect("open"), libc::F_WRLCK, 0, 1).expect_err("locked");
    assert_eq!(refused.raw_os_error(), Some(libc::EAGAIN));
    drop((reader, writer));
    mounted.unmount();
}

#[test]
fn whole_file_locks_hold_between_processes_and_over_a_copy_up() {
    need!(fuse, overlay);
    // The lock is released when the last copy of its descriptor is closed.
    if !alone("locks::whole_file_locks_hold_between_processes_and_over_a_copy_up") {
        return;
    }
    check("upper:\n f u 644 u\n lower:\n f l 644 l\n d d 755", |at| {
        let elsewhere = |file: &File, how: i32| {
            let fd = file.as_raw_fd();
            // SAFETY: a live descriptor, which the child inherits.
            let end =
                child::run(|| if unsafe { libc::flock(fd, how | libc::LOCK_NB) } == 0 { 0 } else { child::errno() });
            match end {
                End::Exited(0) => Ok(""),
                End::Exited(errno) => Err(io::Error::from_raw_os_error(errno)),
                End::Killed(signal) => panic!("killed by signal {signal}"),
            }
        };
        for name in ["u", "l", "d"] {
            let open = || File::open(at.path(name)).expect("open");
            let mine = open();
            mine.lock().expect("lock");
            at.note(format_args!("lock {name}"), elsewhere(&open(), libc::LOCK_EX)).gives("EAGAIN");
            at.chmod(name, 0o700).gives("ok");
            if name != "d" {
                at.append(name, "+").gives("ok");
            }
            at.note(format_args!("lock {name}"), elsewhere(&open(), libc::LOCK_SH)).gives("EAGAIN");
            mine.unlock().expect("unlock");
            mine.lock_shared().expect("share");
            at.note(format_args!("lock {name}"), elsewhere(&open(), libc::LOCK_SH)).gives("ok");
            at.note(format_args!("lock {name}"), elsewhere(&open(), libc::LOCK_EX)).gives("EAGAIN");
            mine.unlock().expect("unlock");
            at.note(format_args!("lock {name}"), elsewhere(&open(), libc::LOCK_EX)).gives("ok");
        }
    });
}

#[test]
fn a_lock_goes_with_the_process_that_held_it() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 lower", |at| {
        let file = both_ways(at.path("l")).expect("open");
        at.note("a child locks and ends", lock_elsewhere(&file, libc::F_WRLCK, 0, 0)).gives("ok");
        at.note("lock it here", said(lock(&file, libc::F_SETLK, libc::F_WRLCK, 0, 0))).gives("ok");
        // POSIX: when a process closes any descriptor of a file, it loses its locks on the file.
        drop(File::open(at.path("l")));
        at.note("lock it elsewhere", lock_elsewhere(&file, libc::F_WRLCK, 0, 0)).gives("ok");
    });
}

#[test]
fn a_lock_needs_a_descriptor_of_its_kind() {
    need!(fuse, overlay);
    check("upper:\n lower:\n f l 644 lower", |at| {
        let reader = File::open(at.path("l")).expect("open");
        at.note("write lock", said(lock(&reader, libc::F_SETLK, libc::F_WRLCK, 0, 1))).gives("EBADF");
        at.note("read lock", said(lock(&reader, libc::F_SETLK, libc::F_RDLCK, 0, 1))).gives("ok");
    });
}

#[test]
fn leases_are_given_and_broken_as_on_any_file() {
    need!(fuse, overlay);
    check("upper:\n f u 644 u\n lower:\n f l 644 l", |at| {
        // SAFETY: opening a leased file sends this signal; this process can ignore it.
        unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
        let lease = |file: &File, kind: i32| {
            // SAFETY: a live descriptor and a number.
            match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) } {
                0 => Ok(""),
                _ => Err(io::Error::last_os_error()),
            }
        };
        for name in ["u", "l"] {
            let reader = File::open(at.path(name)).expect("open");
            at.note(format_args!("lease {name} to read"), lease(&reader, libc::F_RDLCK)).gives("ok");
            at.note(format_args!("return {name}"), lease(&reader, libc::F_UNLCK));
            let writer = both_ways(at.path(name)).expect("open");
            at.note(format_args!("lease the written {name}"), lease(&reader, libc::F_RDLCK)).gives("EAGAIN");
            drop(writer);
            // A child process of another test may hold a copy of the descriptor until its exec.
            let patience = Instant::now() + Duration::from_secs(3);
            while lease(&reader, libc::F_RDLCK).is_err() {
                assert!(Instant::now() < patience, "{name} stays open for writing");
                std::thread::sleep(Duration::from_millis(5));
            }
            let broken = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(at.path(name));
            at.note(format_args!("open the leased {name}"), broken.map(|_| "")).gives("EAGAIN");
            at.note(format_args!("return {name}"), lease(&reader, libc::F_UNLCK));
        }
    });
}
