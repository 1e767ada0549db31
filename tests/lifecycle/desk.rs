//! The user's terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::OpenptFlags;
use rustix::termios::{self, LocalModes, Winsize};

pub(crate) struct Desk {
    master: File,
    slave: Option<OwnedFd>,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).unwrap();
        Desk { master: master.into(), slave: Some(slave) }
    }

    /// Starts a program whose controlling terminal this is.
    pub(crate) fn start(&self, mut command: Command) -> Child {
        let slave = self.slave.as_ref().unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: both calls are system calls without any state of this process.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                Ok(rustix::process::ioctl_tiocsctty(std::io::stdin())?)
            });
        }
        command.spawn().unwrap()
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        termios::tcsetwinsize(&self.master, size).unwrap();
    }

    pub(crate) fn type_keys(&mut self, keys: &[u8]) {
        self.master.write_all(keys).unwrap();
    }

    /// Whether every key reaches the reader at once.
    pub(crate) fn is_raw(&self) -> bool {
        !termios::tcgetattr(self.slave.as_ref().unwrap().as_fd()).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    /// Reads the output until it contains `text`, and returns all of it.
    pub(crate) fn until(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            self.read(&mut seen, text);
        }
        String::from_utf8(seen).unwrap()
    }

    /// Reads `length` bytes of output.
    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        let mut seen = Vec::with_capacity(length);
        while seen.len() < length {
            self.read(&mut seen, "more output");
        }
        seen
    }

    fn read(&mut self, seen: &mut Vec<u8>, wanted: &str) {
        let mut buffer = [0; 65536];
        let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
        let ready = poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&patience)).unwrap();
        assert_eq!(ready, 1, "waited for {wanted:?}, saw {:?}", String::from_utf8_lossy(seen));
        let got = self.master.read(&mut buffer).unwrap();
        seen.extend_from_slice(&buffer[..got]);
    }

    /// Closes the window.
    pub(crate) fn close(self) {}
}
