//! Signals, read from a descriptor instead of interrupting the program.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::process::last_error;
use super::{Errno, Result};

/// SIGHUP.
pub const HANGUP: i32 = libc::SIGHUP;
/// SIGINT.
pub const INTERRUPT: i32 = libc::SIGINT;
/// SIGQUIT.
pub const QUIT: i32 = libc::SIGQUIT;
/// SIGKILL.
pub const KILL: i32 = libc::SIGKILL;
/// SIGTERM.
pub const TERMINATE: i32 = libc::SIGTERM;
/// SIGCHLD.
pub const CHILD_ENDED: i32 = libc::SIGCHLD;
/// SIGWINCH: the size of the terminal changed.
pub const WINDOW_CHANGED: i32 = libc::SIGWINCH;

/// The signals by which processes send each other messages; `docker run` passes these on to the container. Left out are
/// faults, the kernel's reports about children and pipes, and the signals by which job control stops a process.
const MESSAGES: [i32; 14] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGCONT,
    libc::SIGURG,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGWINCH,
    libc::SIGIO,
    libc::SIGPWR,
];

/// Signals that other processes send to this one, readable from a descriptor while this value lives.
///
/// They are blocked in the thread that made this value, and in threads and processes that it starts later.
#[derive(Debug)]
pub struct Messages {
    fd: OwnedFd,
    before: libc::sigset_t,
}

impl AsFd for Messages {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Messages {
    /// Blocks the signals and starts to receive them.
    ///
    /// # Errors
    /// As `signalfd(2)`.
    pub fn receive() -> Result<Messages> {
        Self::of(&[])
    }

    /// As [`receive`](Self::receive), with [`CHILD_ENDED`] too.
    ///
    /// # Errors
    /// As `signalfd(2)`.
    pub fn receive_with_children() -> Result<Messages> {
        Self::of(&[CHILD_ENDED])
    }

    fn of(more: &[i32]) -> Result<Messages> {
        let mut set = empty();
        for signal in MESSAGES.into_iter().chain(libc::SIGRTMIN()..=libc::SIGRTMAX()).chain(more.iter().copied()) {
            // SAFETY: `set` is initialised, and the number is a signal's.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        let before = change_mask(libc::SIG_BLOCK, &set)?;
        // SAFETY: -1 asks for a new descriptor; `set` outlives the call.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(last_error());
        }
        // SAFETY: the kernel just gave out this descriptor, and nobody else has it.
        Ok(Messages { fd: unsafe { OwnedFd::from_raw_fd(fd) }, before })
    }

    /// Leaves the signals blocked until the process exits, so that a late signal cannot change its exit status.
    pub fn until_exit(self) {
        std::mem::forget(self);
    }

    /// The number of the next signal, or `None` when none has arrived.
    ///
    /// # Errors
    /// As `read(2)`.
    pub fn next(&self) -> Result<Option<i32>> {
        let mut info: MaybeUninit<libc::signalfd_siginfo> = MaybeUninit::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the kernel writes at most `size` bytes of `info`.
        let got = unsafe { libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        match usize::try_from(got) {
            // SAFETY: a whole record was written.
            Ok(got) if got == size => Ok(i32::try_from(unsafe { info.assume_init() }.ssi_signo).ok()),
            Ok(_) => Ok(None),
            Err(_) => match last_error() {
                Errno::AGAIN | Errno::INTR => Ok(None),
                e => Err(e),
            },
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        // This fails only for a wrong constant.
        let _ = change_mask(libc::SIG_SETMASK, &self.before);
    }
}

/// Resets every signal to its default action and unblocks all, as a new program expects.
///
/// # Errors
/// As `sigprocmask(2)`.
pub fn reset_all() -> Result<()> {
    /// The kernel's `struct sigaction`; all zeroes mean the default action. The C library's call would refuse the
    /// signals that the library uses itself.
    const DEFAULT: [u64; 4] = [0; 4];
    const SET_SIZE: usize = 8;
    for signal in 1..=libc::SIGRTMAX() {
        let old = std::ptr::null_mut::<u64>();
        // SAFETY: the default action runs no code of ours, and the struct outlives the call. For KILL and STOP the
        // kernel returns an error, which changes nothing.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), old, SET_SIZE) };
    }
    change_mask(libc::SIG_SETMASK, &empty()).map(drop)
}

fn empty() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the whole set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn change_mask(how: libc::c_int, set: &libc::sigset_t) -> Result<libc::sigset_t> {
    let mut before = empty();
    // SAFETY: both sets are initialised and outlive the call.
    let error = unsafe { libc::pthread_sigmask(how, set, &raw mut before) };
    if error == 0 { Ok(before) } else { Err(Errno::from_raw_os_error(error)) }
}
