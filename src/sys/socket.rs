//! Sockets with a name in a directory, over which unrelated processes get a [`Channel`] to each other.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::umask;

use super::{Channel, Errno, Result};
use std::path::Path;

/// How many processes may wait to be accepted.
const BACKLOG: i32 = 128;

/// A socket that other processes connect to; readable when one has.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener {
    /// Makes the socket `name` in `dir`, in place of one that an earlier process left. Only this process's user can
    /// connect to it.
    ///
    /// # Errors
    /// As `bind(2)` and `listen(2)`.
    pub fn bind(dir: &Path, name: &str) -> Result<Listener> {
        let dir = open(dir)?;
        match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let before = umask(Mode::from_raw_mode(0o177));
        let bound = rustix::net::bind(&socket, &address(&dir, name)?);
        umask(before);
        bound?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(Listener(socket))
    }

    /// The next process that has connected; `None` when there is none. The channel does not block.
    ///
    /// # Errors
    /// As `accept(2)`.
    pub fn accept(&self) -> Result<Option<Channel>> {
        loop {
            match rustix::net::accept_with(&self.0, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => return Ok(Some(Channel::of(socket))),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// Connects to the socket `name` in `dir`; `None` when no process listens there.
///
/// # Errors
/// As `connect(2)`.
pub fn connect(dir: &Path, name: &str) -> Result<Option<Channel>> {
    let dir = match open(dir) {
        Err(Errno::NOENT) => return Ok(None),
        other => other?,
    };
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    match rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address(&dir, name)?)) {
        Ok(()) => Ok(Some(Channel::of(socket))),
        Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn open(dir: &Path) -> Result<OwnedFd> {
    rustix::fs::open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Goes through a descriptor of the directory, because a socket's address is at most 107 bytes long.
fn address(dir: &OwnedFd, name: &str) -> Result<SocketAddrUnix> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_meet_at_a_name_in_a_deep_directory() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("d".repeat(120));
        std::fs::create_dir(&dir).unwrap();
        assert!(connect(&dir, "socket").unwrap().is_none(), "nobody listens yet");
        let listener = Listener::bind(&dir, "socket").unwrap();
        assert!(listener.accept().unwrap().is_none());
        let ours = connect(&dir, "socket").unwrap().unwrap();
        let theirs = listener.accept().unwrap().unwrap();
        ours.send(b"hello", None).unwrap();
        assert_eq!(theirs.receive().unwrap().unwrap().0, b"hello");
        drop(listener);
        assert!(connect(&dir, "socket").unwrap().is_none(), "the name is left, and nobody listens");
        Listener::bind(&dir, "socket").unwrap();
    }
}
