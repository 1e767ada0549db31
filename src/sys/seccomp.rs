//! Seccomp filters: installing one, and answering the system calls that one hands over to another process.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use seccompiler::sock_filter;

use super::process::last_error;
use super::{Errno, Result};

/// As in `linux/seccomp.h`.
const SET_MODE_FILTER: libc::c_ulong = 1;
const NEW_LISTENER: libc::c_ulong = 1 << 3;
/// Once the listener has a call, only a fatal signal interrupts the caller. Otherwise any signal would make it repeat
/// the call, which then happens twice (Linux 5.19).
const WAIT_KILLABLE: libc::c_ulong = 1 << 5;
/// Wakes the other side on the same CPU: it runs while this side waits (Linux 6.6).
const SYNC_WAKE_UP: u64 = 1;
/// The kernel performs the call itself.
const CONTINUE: u32 = 1;

/// What a filter returns for a call that it hands over.
pub const HAND_OVER: u32 = 0x7fc0_0000;

/// The kernel's `struct sock_fprog`.
#[repr(C)]
struct Program {
    len: libc::c_ushort,
    filter: *const sock_filter,
}

/// Installs `filter` for this process and those that it starts later. It cannot be removed.
///
/// # Errors
/// As `seccomp(2)`: `EACCES` without `CAP_SYS_ADMIN` unless this process has given up gaining privileges; `EINVAL` for
/// an invalid program.
pub fn install(filter: &[sock_filter]) -> Result<()> {
    set(filter, 0).map(drop)
}

/// As [`install`], for a filter that hands calls over: returns the listener that gets them. The calls fail with
/// `ENOSYS` when nobody holds the listener any more.
///
/// # Errors
/// As [`install`]; `EBUSY` when this process has such a filter already, `EINVAL` before Linux 5.19.
pub fn install_listening(filter: &[sock_filter]) -> Result<OwnedFd> {
    let fd = set(filter, NEW_LISTENER | WAIT_KILLABLE)?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set(filter: &[sock_filter], flags: libc::c_ulong) -> Result<RawFd> {
    let len = libc::c_ushort::try_from(filter.len()).map_err(|_| Errno::INVAL)?;
    let program = Program { len, filter: filter.as_ptr() };
    // SAFETY: the instructions have the kernel's layout, the call gets their number, and they outlive the call.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const program) };
    RawFd::try_from(answer).ok().filter(|&fd| fd >= 0).ok_or_else(last_error)
}

/// The process that answers calls holds this.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A system call that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Handed {
    id: u64,
    /// The calling thread, as this process's PID namespace numbers it.
    pub caller: u32,
    /// The number of the call.
    pub number: u32,
    /// Its arguments; those that it does not have can be anything.
    pub args: [u64; 6],
}

/// What the caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The kernel performs the call.
    Continue,
    /// The call returns this.
    Value(i64),
    /// The call fails.
    Failure(Errno),
}

impl From<Result<i64>> for Reply {
    fn from(result: Result<i64>) -> Reply {
        result.map_or_else(Reply::Failure, Reply::Value)
    }
}

const fn ioctl_number(direction: u32, number: u32, size: usize) -> libc::c_ulong {
    (direction << 30 | (size as u32) << 16 | (b'!' as u32) << 8 | number) as libc::c_ulong
}

const WRITES: u32 = 1;
const READS: u32 = 2;
const RECEIVE: libc::c_ulong = ioctl_number(READS | WRITES, 0, size_of::<libc::seccomp_notif>());
const SEND: libc::c_ulong = ioctl_number(READS | WRITES, 1, size_of::<libc::seccomp_notif_resp>());
const ID_VALID: libc::c_ulong = ioctl_number(WRITES, 2, size_of::<u64>());
const SET_FLAGS: libc::c_ulong = ioctl_number(WRITES, 4, size_of::<u64>());

impl From<OwnedFd> for Listener {
    fn from(fd: OwnedFd) -> Listener {
        // SAFETY: the call takes a number. An older kernel refuses it; answers are then slower.
        unsafe { libc::ioctl(fd.as_raw_fd(), SET_FLAGS as _, SYNC_WAKE_UP) };
        Listener(fd)
    }
}

impl Listener {
    /// Waits for a call. `None` when its caller was killed meanwhile.
    ///
    /// # Errors
    /// As `ioctl(2)`.
    pub fn receive(&self) -> Result<Option<Handed>> {
        // SAFETY: all-zero bytes are a valid value of these integers, and what the kernel wants to find.
        let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: `call` has the size that the number of the request says, and outlives the call.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), RECEIVE as _, &raw mut call) } != 0 {
            return match last_error() {
                Errno::NOENT | Errno::INTR => Ok(None),
                error => Err(error),
            };
        }
        let number = u32::try_from(call.data.nr).unwrap_or(u32::MAX);
        Ok(Some(Handed { id: call.id, caller: call.pid, number, args: call.data.args }))
    }

    /// Whether the caller still waits. What was read about it before by its number is then really about it.
    pub fn still_waits(&self, call: &Handed) -> bool {
        // SAFETY: the kernel reads a number, which outlives the call.
        unsafe { libc::ioctl(self.0.as_raw_fd(), ID_VALID as _, &raw const call.id) == 0 }
    }

    /// Answers a call. A caller that is gone gets no answer, which is no error.
    ///
    /// # Errors
    /// As `ioctl(2)`, but for `ENOENT`.
    pub fn answer(&self, call: &Handed, reply: Reply) -> Result<()> {
        let (val, error, flags) = match reply {
            Reply::Continue => (0, 0, CONTINUE),
            Reply::Value(value) => (value, 0, 0),
            Reply::Failure(errno) => (0, -errno.raw_os_error(), 0),
        };
        let answer = libc::seccomp_notif_resp { id: call.id, val, error, flags };
        // SAFETY: `answer` has the size that the number of the request says, and outlives the call.
        if unsafe { libc::ioctl(self.0.as_raw_fd(), SEND as _, &raw const answer) } == 0 {
            return Ok(());
        }
        match last_error() {
            Errno::NOENT => Ok(()),
            error => Err(error),
        }
    }
}
