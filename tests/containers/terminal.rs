//! The container's own terminal, and the caller's terminal, whose modes must be restored at the end.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use rustix::pty::OpenptFlags;
use rustix::termios::{self, LocalModes, Winsize};

use crate::host::{Host, hosts, root};

/// The caller's terminal.
pub(crate) struct Desk {
    pub(crate) master: File,
    slave: OwnedFd,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).unwrap();
        Desk { master: master.into(), slave }
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        termios::tcsetwinsize(&self.master, size).unwrap();
    }

    fn start(&self, host: &Host, flags: &[&str], script: &str) -> Child {
        self.spawn(host.command(flags, &["-c", script]))
    }

    /// Starts a command on the terminal.
    pub(crate) fn spawn(&self, mut command: Command) -> Child {
        let end = || Stdio::from(self.slave.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap()
    }

    /// Reads the output until it contains `text`, and returns all of it.
    pub(crate) fn until(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let mut buffer = [0; 4096];
        let patience = Timespec { tv_sec: 30, tv_nsec: 0 };
        while !String::from_utf8_lossy(&seen).contains(text) {
            let ready = poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&patience)).unwrap();
            assert_eq!(ready, 1, "waited for {text:?}, saw {:?}", String::from_utf8_lossy(&seen));
            let got = self.master.read(&mut buffer).unwrap();
            seen.extend_from_slice(&buffer[..got]);
        }
        String::from_utf8(seen).unwrap()
    }

    pub(crate) fn modes(&self) -> LocalModes {
        termios::tcgetattr(self.slave.as_fd()).unwrap().local_modes
    }
}

#[test]
fn the_command_has_a_terminal_of_its_own_with_the_size_of_ours() {
    for host in hosts() {
        let mut desk = Desk::new();
        desk.resize(33, 101);
        let mut child = desk.start(&host, &["-it"], "tty; stty size; echo $TERM; ls -l /dev/console | wc -l; echo end");
        let seen = desk.until("end\r\n");
        assert_eq!(seen, "/dev/pts/0\r\n33 101\r\nxterm\r\n1\r\nend\r\n", "{host}");
        assert!(child.wait().unwrap().success(), "{host}");
    }
}

#[test]
fn keys_go_in_and_a_new_size_follows() {
    for host in hosts() {
        let mut desk = Desk::new();
        desk.resize(20, 30);
        let mut child = desk.start(&host, &["-it"], "echo first; read line; echo got $line; stty size; exit 5");
        desk.until("first\r\n");
        assert!(!desk.modes().contains(LocalModes::ICANON), "{host}: our terminal passes keys on as they are");
        desk.resize(40, 50);
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, Signal::WINCH).unwrap();
        // The new size arrives before the line does, because one process passes on both.
        std::thread::sleep(std::time::Duration::from_millis(100));
        desk.master.write_all(b"keys\r").unwrap();
        let seen = desk.until("40 50\r\n");
        assert!(seen.contains("got keys\r\n"), "{host}: {seen}");
        assert_eq!(child.wait().unwrap().code(), Some(5), "{host}");
    }
}

#[test]
fn control_c_interrupts_what_runs_in_the_container() {
    for host in hosts() {
        let mut desk = Desk::new();
        let mut child = desk.start(
            &host,
            &["-it"],
            "trap 'echo interrupted; exit 9' INT; echo first; while :; do sleep 0.02; done",
        );
        desk.until("first\r\n");
        desk.master.write_all(b"\x03").unwrap();
        desk.until("interrupted\r\n");
        assert_eq!(child.wait().unwrap().code(), Some(9), "{host}");
    }
}

#[test]
fn our_terminal_is_as_before_however_the_container_ended() {
    let Some(host) = root() else { return };
    let mut desk = Desk::new();
    let before = desk.modes();
    for (flags, script, signal) in [
        (&["-it"][..], "echo first; exit 3", None),
        (&["-it", "--entrypoint", "gone"], "", None),
        (&["-it", "-u", "nobody-here"], "", None),
        (&["-it"], "trap 'exit 4' TERM; echo first; while :; do sleep 0.02; done", Some(Signal::TERM)),
        (&["-it", "--init"], "echo first; sleep 60", Some(Signal::HUP)),
    ] {
        let mut child = desk.start(&host, flags, script);
        if let Some(signal) = signal {
            desk.until("first\r\n");
            rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        }
        assert!(!child.wait().unwrap().success(), "{flags:?}");
        assert_eq!(desk.modes(), before, "{flags:?} {script:?}");
    }
}

#[test]
fn a_terminal_without_keys_shows_what_the_command_prints_to_its_end() {
    let Some(host) = root() else { return };
    let printed = host.prints(&["-t"], "tty; i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done");
    let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
    assert_eq!((lines.len(), lines[0], lines[5000]), (5001, "/dev/pts/0", "line 4999"));
}
