//! Pipes, sockets and devices: they must work through the mount as on any file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::need;
use crate::support::check;

/// A short path for a socket, through the descriptor of its directory: socket addresses have a small limit.
fn short(dir: &File, name: &str) -> PathBuf {
    format!("/proc/self/fd/{}/{name}", std::os::fd::AsRawFd::as_raw_fd(dir)).into()
}

#[test]
fn a_pipe_leads_from_one_process_to_another() {
    need!(fuse, overlay);
    check("upper:\n p u 644\n lower:\n p l 644\n d d 755", |at| {
        at.mknod("d/new", rustix::fs::FileType::Fifo, 0o600, (0, 0)).gives("ok");
        for name in ["u", "l", "d/new"] {
            let mut writer = Command::new("sh");
            writer.args(["-c", "echo through > \"$0\"", name]).current_dir(at.path("")).stdin(Stdio::null());
            let mut writer = writer.spawn().expect("start sh");
            at.read(name).gives("\"through\\n\"");
            assert!(writer.wait().expect("it ends").success());
        }
        let nobody = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(at.path("l"));
        at.note("write to a pipe that nobody reads", nobody.map(|_| "")).gives("ENXIO");
    });
}

#[test]
fn a_pipe_that_comes_up_or_is_renamed_while_it_is_open_stays_one_pipe() {
    need!(fuse, overlay);
    check("upper:\n lower:\n p l 644", |at| {
        let used = || {
            let both = |name: &str| OpenOptions::new().read(true).write(true).open(at.path(name));
            let mut one = both("l")?;
            fs::set_permissions(at.path("l"), std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            fs::rename(at.path("l"), at.path("m"))?;
            let mut other = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(at.path("m"))?;
            other.write_all(b"same")?;
            let mut four = [0; 4];
            one.read_exact(&mut four)?;
            Ok(String::from_utf8_lossy(&four).into_owned())
        };
        at.note("the pipe under its new name", used()).gives("same");
    });
}

#[test]
fn a_socket_is_bound_and_connected_to() {
    need!(fuse, overlay);
    check("upper:\n d u 755\n lower:\n d l 755", |at| {
        for name in ["u", "l"] {
            let used = || {
                let dir = File::open(at.path(name))?;
                let path = short(&dir, "socket");
                let listener = UnixListener::bind(&path)?;
                let answering = std::thread::spawn(move || -> io::Result<()> {
                    let (mut stream, _) = listener.accept()?;
                    let mut asked = [0; 4];
                    stream.read_exact(&mut asked)?;
                    stream.write_all(&asked.map(|byte| byte.to_ascii_uppercase()))?;
                    // A child process of another test may still hold a copy of the descriptor.
                    Ok(rustix::net::shutdown(&listener, rustix::net::Shutdown::Both)?)
                });
                let mut stream = UnixStream::connect(&path)?;
                stream.write_all(b"ping")?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer)?;
                answering.join().expect("no panic")?;
                let kind = fs::symlink_metadata(at.path(&format!("{name}/socket")))?.file_type();
                let again = UnixListener::bind(&path).map(drop).unwrap_err().kind();
                Ok(format!("{answer} {} {again:?}", kind.is_socket()))
            };
            at.note(format_args!("serve in {name}"), used()).gives("PING true AddrInUse");
            // No process listens any more.
            let dir = File::open(at.path(name)).expect("open");
            let refused = UnixStream::connect(short(&dir, "socket")).map(drop).unwrap_err().kind();
            at.note(format_args!("connect in {name}"), Ok(format!("{refused:?}"))).gives("ConnectionRefused");
            at.unlink(&format!("{name}/socket")).gives("ok");
        }
    });
}

#[test]
fn a_socket_that_a_layer_holds_is_there_and_answers_nobody() {
    need!(fuse, overlay);
    check("upper:\n s u 755\n lower:\n s l 755", |at| {
        let dir = File::open(at.path("")).expect("open");
        for name in ["u", "l"] {
            let refused = UnixStream::connect(short(&dir, name)).map(drop).unwrap_err().kind();
            at.note(format_args!("connect to {name}"), Ok(format!("{refused:?}"))).gives("ConnectionRefused");
            let taken = UnixListener::bind(short(&dir, name)).map(drop).unwrap_err().kind();
            at.note(format_args!("bind {name}"), Ok(format!("{taken:?}"))).gives("AddrInUse");
            at.unlink(name).gives("ok");
            let bound = UnixDatagram::bind(short(&dir, name)).and_then(|socket| {
                UnixDatagram::unbound()?.send_to(b"x", short(&dir, name))?;
                let mut one = [0];
                socket.recv(&mut one).map(|count| count.to_string())
            });
            at.note(format_args!("bind {name} anew"), bound).gives("1");
        }
    });
}

#[test]
fn a_socket_stays_connectable_when_it_is_renamed_linked_and_chmodded() {
    need!(fuse, overlay);
    check("upper:\n lower:\n d l 755", |at| {
        let dir = File::open(at.path("l")).expect("open");
        let listener = UnixListener::bind(short(&dir, "a")).expect("bind");
        at.chmod("l/a", 0o600).gives("ok");
        at.link("l/a", "l/b").gives("ok");
        at.rename("l/a", "l/c").gives("ok");
        for name in ["b", "c"] {
            let connected = UnixStream::connect(short(&dir, name)).map(|_| "");
            at.note(format_args!("connect to {name}"), connected).gives("ok");
        }
        drop(listener);
    });
}

#[test]
fn devices_of_every_layer_are_devices() {
    need!(root, fuse, overlay);
    check("upper:\n c u 666 1:5\n lower:\n c l 666 1:5\n c full 666 1:7\n c nothing 666 240:240\n d tmp 1777", |at| {
        at.mknod("new", rustix::fs::FileType::CharacterDevice, 0o600, (1, 5)).gives("ok");
        for name in ["u", "l", "new"] {
            let mut four = [1; 4];
            let read = File::open(at.path(name)).and_then(|mut file| file.read_exact(&mut four));
            at.note(format_args!("read {name}"), read.map(|()| format!("{four:?}"))).gives("[0, 0, 0, 0]");
        }
        at.append("full", "x").gives("ENOSPC");
        at.read("nothing").gives("ENXIO");
        at.as_user(1000, 1001, |at| {
            at.read("new").gives("EACCES");
            at.mknod("tmp/mine", rustix::fs::FileType::CharacterDevice, 0o600, (1, 5)).gives("EPERM");
        });
    });
}
