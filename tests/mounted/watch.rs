//! Watching: inotify, fanotify and poll on files and directories of the mount.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify;

use crate::need;
use crate::support::{At, alone, check};

/// The events so far, as `name: EVENTS`, in order, without repetition of the last event.
fn events(queue: &OwnedFd) -> String {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 16 << 10];
    let mut reader = inotify::Reader::new(queue, &mut buffer);
    let mut said: Vec<String> = Vec::new();
    while let Ok(event) = reader.next() {
        let name = event.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let line = format!("{name}:{:?}", event.events());
        if said.last() != Some(&line) {
            said.push(line);
        }
    }
    said.join(" ")
}

#[test]
fn inotify_tells_of_every_change_in_a_directory() {
    need!(fuse, overlay);
    if !alone("watch::inotify_tells_of_every_change_in_a_directory") {
        return;
    }
    check("upper:\n f d/u 644 u\n lower:\n f d/l 644 l\n d d/sub 755\n f other 644 x", |at| {
        let queue = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).expect("inotify");
        inotify::add_watch(&queue, at.path("d"), inotify::WatchFlags::ALL_EVENTS).expect("watch");
        type Step<'a> = (&'a str, &'a dyn Fn(&At));
        let steps: [Step<'_>; 11] = [
            ("create", &|at| drop(at.create("d/new", 0o644, "x"))),
            ("read", &|at| drop(at.read("d/l"))),
            ("append", &|at| drop(at.append("d/l", "+"))),
            ("chmod", &|at| drop(at.chmod("d/u", 0o600))),
            ("truncate", &|at| drop(at.truncate_path("d/u", 0))),
            ("rename", &|at| drop(at.rename("d/new", "d/newer"))),
            ("out", &|at| drop(at.rename("d/newer", "newer"))),
            ("in", &|at| drop(at.rename("other", "d/other"))),
            ("link", &|at| drop(at.link("d/other", "d/linked"))),
            ("unlink", &|at| drop(at.unlink("d/l"))),
            ("rmdir", &|at| drop(at.rmdir("d/sub"))),
        ];
        for (what, act) in steps {
            act(at);
            at.note(format_args!("events of {what}"), Ok(events(&queue)));
        }
        assert!(at.log().iter().any(|line| line.contains("new:") && line.contains("CREATE")), "{:#?}", at.log());
    });
}

#[test]
fn inotify_tells_of_a_file_before_and_after_its_copy_up() {
    need!(fuse, overlay);
    if !alone("watch::inotify_tells_of_a_file_before_and_after_its_copy_up") {
        return;
    }
    check("upper:\n lower:\n f l 644 l", |at| {
        let queue = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).expect("inotify");
        let wanted = inotify::WatchFlags::MODIFY | inotify::WatchFlags::ATTRIB | inotify::WatchFlags::DELETE_SELF;
        inotify::add_watch(&queue, at.path("l"), wanted).expect("watch");
        for (what, act) in [
            ("write", (&|at: &At| drop(at.write_at("l", 0, "L"))) as &dyn Fn(&At)),
            ("again", &|at| drop(at.append("l", "+"))),
            ("chmod", &|at| drop(at.chmod("l", 0o600))),
            ("unlink", &|at| drop(at.unlink("l"))),
        ] {
            act(at);
            at.note(format_args!("events of {what}"), Ok(events(&queue)));
        }
        assert!(at.log().iter().any(|line| line == "events of again: :ReadFlags(MODIFY)"), "{:#?}", at.log());
    });
}

#[test]
fn fanotify_tells_of_opens_and_writes() {
    need!(root, fuse, overlay);
    check("upper:\n lower:\n f l 644 l", |at| {
        const EVENT: usize = 24;
        // SAFETY: two numbers; the result is a descriptor or -1.
        let queue = unsafe { libc::fanotify_init(libc::FAN_CLOEXEC | libc::FAN_NONBLOCK, libc::O_RDONLY as u32) };
        assert!(queue >= 0, "fanotify_init: {}", io::Error::last_os_error());
        // SAFETY: a descriptor that nothing else owns.
        let mut queue = unsafe { File::from_raw_fd(queue) };
        let path = std::ffi::CString::new(at.path("l").as_os_str().as_bytes()).expect("a path");
        let mask = libc::FAN_OPEN | libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE;
        // SAFETY: a live descriptor, and a path that outlives the call.
        let marked =
            unsafe { libc::fanotify_mark(queue.as_raw_fd(), libc::FAN_MARK_ADD, mask, libc::AT_FDCWD, path.as_ptr()) };
        assert_eq!(marked, 0, "fanotify_mark: {}", io::Error::last_os_error());
        at.append("l", "+").gives("ok");
        at.append("l", "+").gives("ok");
        let mut all = 0;
        let mut content = String::new();
        let mut buffer = [0; 64 * EVENT];
        while let Ok(length) = queue.read(&mut buffer) {
            for event in buffer[..length].chunks(EVENT) {
                all |= u64::from_ne_bytes(event[8..16].try_into().expect("eight bytes"));
                let fd = i32::from_ne_bytes(event[16..20].try_into().expect("four bytes"));
                // SAFETY: the event hands over a descriptor that nothing else owns.
                let mut file = unsafe { File::from_raw_fd(fd) };
                content.clear();
                file.read_to_string(&mut content).expect("read the file of an event");
            }
        }
        at.note("events", Ok(format!("{:x} {content}", all & mask))).gives(&format!("{mask:x} l++"));
    });
}

/// Unlike elsewhere, epoll accepts every file of a FUSE mount; on other file systems regular files give `EPERM`.
#[test]
fn files_and_directories_are_always_ready() {
    need!(fuse, overlay);
    check("upper:\n f u 644 u\n lower:\n f l 644 l\n p p 644\n d d 755", |at| {
        for name in ["u", "l", "d"] {
            let file = File::open(at.path(name)).expect("open");
            let mut one = [PollFd::new(&file, PollFlags::IN | PollFlags::OUT)];
            let ready = rustix::event::poll(&mut one, None).map(|count| format!("{count} {:?}", one[0].revents()));
            at.note(format_args!("poll {name}"), ready.map_err(io::Error::from));
        }
        let pipe = OpenOptions::new().read(true).write(true).open(at.path("p")).expect("open");
        let ready = |pipe: &File| {
            let mut one = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
            rustix::event::poll(&mut one, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).expect("poll")
        };
        let before = ready(&pipe);
        fs::write(at.path("p"), "x").expect("write");
        at.note("poll p", Ok(format!("{before} then {}", ready(&pipe)))).gives("0 then 1");
    });
}
