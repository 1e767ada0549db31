//! Terminals: the pseudoterminal of a container, and this process's own terminal.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self as rfs, Mode, OFlags, Uid};
use rustix::pty::OpenptFlags;
use rustix::termios::{self, OptionalActions, Termios};

use super::{Dir, Errno, Result};

/// Rows and columns in characters, and in pixels where known.
pub use rustix::termios::Winsize as WindowSize;

/// A new pseudoterminal: the holder of `master` acts as screen and keyboard for the programs on `slave`.
#[derive(Debug)]
pub struct Pair {
    /// The end of the program that shows the terminal.
    pub master: OwnedFd,
    /// The end of the programs in the terminal.
    pub slave: OwnedFd,
    /// The slave's file name in its devpts.
    pub number: u32,
}

impl Pair {
    /// Opens a new terminal of the devpts mounted at `devpts`.
    ///
    /// # Errors
    /// As `open(2)` of `ptmx`; `ENOSPC` when the devpts has no free terminal.
    pub fn open(devpts: &Dir) -> Result<Pair> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let master = rfs::openat(devpts, c"ptmx", flags, Mode::empty())?;
        rustix::pty::unlockpt(&master)?;
        let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, peer)?;
        let name = rustix::pty::ptsname(&master, Vec::new())?;
        let number = name.to_str().ok().and_then(|n| n.rsplit('/').next()?.parse().ok()).ok_or(Errno::NODEV)?;
        Ok(Pair { master, slave, number })
    }
}

/// Sets the owner of the terminal, who may open it by name.
///
/// # Errors
/// As `fchown(2)`.
pub fn set_owner(slave: impl AsFd, uid: u32) -> Result<()> {
    rfs::fchown(slave, Some(Uid::from_raw(uid)), None)
}

/// Makes `slave` the controlling terminal of the session that this process leads.
///
/// # Errors
/// As `ioctl(TIOCSCTTY)`; `EPERM` when this process leads no session.
pub fn take_as_terminal(slave: impl AsFd) -> Result<()> {
    rustix::process::ioctl_tiocsctty(slave)
}

/// Whether `fd` is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    termios::isatty(fd)
}

/// # Errors
/// `ENOTTY` for what is no terminal.
pub fn window_size(fd: impl AsFd) -> Result<WindowSize> {
    termios::tcgetwinsize(fd)
}

/// Sets the size; the programs on the terminal get `SIGWINCH`.
///
/// # Errors
/// `ENOTTY` for what is no terminal.
pub fn set_window_size(fd: impl AsFd, size: WindowSize) -> Result<()> {
    termios::tcsetwinsize(fd, size)
}

/// # Errors
/// As `fcntl(2)`.
pub fn set_nonblocking(fd: impl AsFd) -> Result<()> {
    let flags = rfs::fcntl_getfl(&fd)?;
    rfs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)
}

/// While this value lives, standard input is in raw mode: every key reaches the reader unchanged. Dropping it restores
/// the old mode.
#[derive(Debug)]
pub struct RawInput {
    before: Termios,
}

impl RawInput {
    /// # Errors
    /// `ENOTTY` when standard input is no terminal.
    pub fn new() -> Result<RawInput> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(RawInput { before })
    }
}

impl Drop for RawInput {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Reads once, as much as is available. `None` at the end of the input; for a master this is when all slaves are
/// closed.
///
/// # Errors
/// `EAGAIN` when nothing is available yet; else as `read(2)`.
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Option<usize>> {
    match rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut *buffer)) {
        Ok(0) | Err(Errno::IO) => Ok(None),
        other => other.map(Some),
    }
}

/// Writes once, as much as fits.
///
/// # Errors
/// `EAGAIN` when nothing fits; else as `write(2)`.
pub fn write(fd: BorrowedFd<'_>, data: &[u8]) -> Result<usize> {
    rustix::io::retry_on_intr(|| rustix::io::write(fd, data))
}
