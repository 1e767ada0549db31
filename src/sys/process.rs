//! Processes: forking, waiting, credentials, and becoming another program.

use std::convert::Infallible;
use std::ffi::{CStr, CString, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::fs::{self as rfs, Mode};
use rustix::io::retry_on_intr;
use rustix::process::{self as rps, Pid, PidfdFlags, Signal, WaitOptions};
use rustix::thread::{self as rth, Gid, Uid};

use super::{Channel, Errno, Kind, Namespaces, Result};

/// What a child that panicked exits with.
const PANICKED: i32 = 101;

/// Descriptors below are standard input, output and error.
const FIRST_BESIDE_STREAMS: libc::c_uint = 3;

/// A child of this process that nobody has waited for yet; its number cannot have gone to another process.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    fd: OwnedFd,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Exited(u8),
    Signaled(i32),
}

impl Status {
    /// As a shell shows it in `$?`: 128 + N after signal N.
    pub fn code(self) -> u8 {
        match self {
            Status::Exited(code) => code,
            Status::Signaled(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    fn of(status: rps::WaitStatus) -> Option<Status> {
        let exited = status.exit_status().map(|code| Status::Exited(code as u8));
        exited.or_else(|| status.terminating_signal().map(Status::Signaled))
    }
}

/// Becomes readable when the child has ended.
impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Child {
    /// The number that the child has here, outside of its own namespaces.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends `signal` (its number). To a child that has ended already this does nothing.
    ///
    /// # Errors
    /// As `pidfd_send_signal(2)`; `EINVAL` for what is no signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        let signal = Signal::from_named_raw(signal).or_else(|| real_time(signal)).ok_or(Errno::INVAL)?;
        match rps::pidfd_send_signal(&self.fd, signal) {
            Err(Errno::SRCH) => Ok(()),
            other => other,
        }
    }

    /// Ends the child at once.
    ///
    /// # Errors
    /// As `pidfd_send_signal(2)`.
    pub fn kill(&self) -> Result<()> {
        self.signal(libc::SIGKILL)
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// As `waitpid(2)`.
    pub fn wait(self) -> Result<Status> {
        loop {
            let ended = retry_on_intr(|| rps::waitpid(Some(self.pid), WaitOptions::empty()))?;
            if let Some(status) = ended.and_then(|(_, status)| Status::of(status)) {
                return Ok(status);
            }
        }
    }
}

fn real_time(signal: i32) -> Option<Signal> {
    if !(libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&signal) {
        return None;
    }
    // SAFETY: between SIGRTMIN and SIGRTMAX no signal is the C library's own.
    Some(unsafe { Signal::from_raw_unchecked(signal) })
}

/// Runs `work` in a child process, itself in new `namespaces`; the child ends with what `work` answers.
///
/// The child has a copy of all memory and descriptors. It never returns to the caller's code: values that
/// the caller still holds are not dropped twice.
///
/// # Errors
/// As `clone3(2)`. `EDEADLK` when this process has more threads than one, since the child could find a lock
/// held by a thread that it does not have.
pub fn spawn(namespaces: Namespaces, work: impl FnOnce() -> i32) -> Result<Child> {
    match fork(namespaces)? {
        Some(child) => Ok(child),
        None => end_with(work),
    }
}

/// The same, with a channel between the two. Each side has one end only, so that each hears of the other's end.
///
/// # Errors
/// As [`spawn`] and `socketpair(2)`.
pub fn spawn_connected(namespaces: Namespaces, work: impl FnOnce(Channel) -> i32) -> Result<(Child, Channel)> {
    let (ours, theirs) = Channel::pair()?;
    match fork(namespaces)? {
        Some(child) => Ok((child, ours)),
        None => {
            drop(ours);
            end_with(|| work(theirs))
        }
    }
}

fn end_with(work: impl FnOnce() -> i32) -> ! {
    exit_now(catch_unwind(AssertUnwindSafe(work)).unwrap_or(PANICKED))
}

fn thread_count() -> Result<usize> {
    let tasks = std::fs::read_dir("/proc/self/task").map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    Ok(tasks.count())
}

/// `None` in the child.
fn fork(namespaces: Namespaces) -> Result<Option<Child>> {
    if thread_count()? != 1 {
        return Err(Errno::DEADLK);
    }
    let answer = if namespaces.is_empty() {
        // SAFETY: there is no other thread, whose locks would stay held in the child; the child goes on with a copy of everything.
        i64::from(unsafe { libc::fork() })
    } else {
        // SAFETY: all-zero bytes are a valid value of these integers; no stack means: go on with a copy.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = namespaces.clone_flags();
        args.exit_signal = libc::SIGCHLD as u64;
        // SAFETY: as with fork. `args` outlives the call and its size is told.
        unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) as i64 }
    };
    match i32::try_from(answer).ok().filter(|pid| *pid >= 0) {
        Some(pid) => match Pid::from_raw(pid) {
            Some(pid) => Ok(Some(Child { pid, fd: rps::pidfd_open(pid, PidfdFlags::empty())? })),
            None => Ok(None),
        },
        None => Err(last_error()),
    }
}

pub(super) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Ends this process without running what was registered to run at its exit.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` touches no memory of this process.
    unsafe { libc::_exit(code) }
}

/// A child that has ended, of any kind and whoever made it; `None` when no other has.
///
/// # Errors
/// `ECHILD` when there are no children; else as `waitpid(2)`.
pub fn reap() -> Result<Option<(u32, Status)>> {
    loop {
        match retry_on_intr(|| rps::wait(WaitOptions::NOHANG))? {
            None => return Ok(None),
            Some((pid, status)) => {
                if let Some(status) = Status::of(status) {
                    return Ok(Some((pid.as_raw_nonzero().get().unsigned_abs(), status)));
                }
            }
        }
    }
}

/// Begins a session: this process leaves its terminal and its process group.
///
/// # Errors
/// `EPERM` for the leader of a process group.
pub fn new_session() -> Result<()> {
    rps::setsid().map(drop)
}

/// This process shall be killed as soon as its parent is gone.
///
/// The kernel forgets this whenever the credentials change, and when a set-id program is executed.
///
/// # Errors
/// As `prctl(2)`.
pub fn die_with_parent() -> Result<()> {
    rps::set_parent_process_death_signal(Some(Signal::KILL))
}

/// No other process, not even one of the same user, may look into this one.
///
/// # Errors
/// As `prctl(2)`.
pub fn hide() -> Result<()> {
    rps::set_dumpable_behavior(rps::DumpableBehavior::NotDumpable)
}

/// Programs that this process executes from now on gain nothing by set-id bits or file capabilities.
///
/// # Errors
/// As `prctl(2)`.
pub fn gain_no_privileges() -> Result<()> {
    rth::set_no_new_privs(true)
}

/// Permission bits that files made from now on shall not have.
pub fn set_umask(mask: u32) {
    rps::umask(Mode::from_raw_mode(mask));
}

/// # Errors
/// As `chdir(2)`.
pub fn change_dir(path: &CStr) -> Result<()> {
    rps::chdir(path)
}

/// Makes `dir` the working directory, if it lies below this process's root.
///
/// # Errors
/// As `fchdir(2)`; `EXDEV` for a directory that no path from the root leads to.
pub fn enter_dir(dir: impl AsFd) -> Result<()> {
    rps::fchdir(dir)?;
    // Elsewhere the kernel puts "(unreachable)" before the path.
    if rps::getcwd(Vec::new())?.as_bytes().starts_with(b"/") { Ok(()) } else { Err(Errno::XDEV) }
}

/// Makes `dir` the root and the working directory of this process.
///
/// # Errors
/// As `chroot(2)`.
pub fn change_root(dir: impl AsFd) -> Result<()> {
    rps::fchdir(dir)?;
    rps::chroot(c".")
}

/// Takes other ids; with those of root go the capabilities. For a process with one thread.
///
/// # Errors
/// As `setgroups(2)`, `setresgid(2)`, `setresuid(2)`: `EINVAL` for an id that this user namespace does not map.
pub fn become_user(uid: u32, gid: u32, groups: Option<&[u32]>) -> Result<()> {
    if let Some(groups) = groups {
        let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
        rth::set_thread_groups(&groups)?;
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rth::set_thread_res_gid(gid, gid, gid)?;
    rth::set_thread_res_uid(uid, uid, uid)
}

/// Closes every descriptor but the standard streams and `kept`. For a child that was just forked: what its parent had
/// open, and whoever started that one, is none of its own.
///
/// The values that own these descriptors here are copies of the parent's, which this process must never use again.
///
/// # Errors
/// As `close_range(2)`.
pub fn close_all_but(kept: impl AsFd) -> Result<()> {
    let close = |first: libc::c_uint, last: libc::c_uint| -> Result<()> {
        if first > last {
            return Ok(());
        }
        // SAFETY: the child's code never reaches the values that own these: `spawn` ends it before they are dropped.
        let status = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        if status == 0 { Ok(()) } else { Err(last_error()) }
    };
    let kept = kept.as_fd().as_raw_fd().unsigned_abs();
    close(FIRST_BESIDE_STREAMS, kept.saturating_sub(1))?;
    close(kept.saturating_add(1).max(FIRST_BESIDE_STREAMS), libc::c_uint::MAX)
}

/// No descriptor from `first` on outlives the next [`execute`].
///
/// # Errors
/// As `close_range(2)`.
pub fn close_on_execute_from(first: u32) -> Result<()> {
    const CLOEXEC: libc::c_uint = 1 << 2;
    // SAFETY: sets a flag on descriptors; closes none.
    let status = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOEXEC) };
    if status == 0 { Ok(()) } else { Err(last_error()) }
}

/// The descriptors, beside the standard streams, that were open when this program began: of whoever started it.
#[derive(Clone, Debug)]
pub struct Inherited(Vec<RawFd>);

impl Inherited {
    /// To be asked before anything is opened.
    pub fn at_start() -> Inherited {
        let numbers = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let mut numbers: Vec<RawFd> = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        // The listing's own is closed by now, and none of ours follows that low while others are open.
        numbers.retain(|&number| number > 2 && fcntl_is_open(number));
        Inherited(numbers)
    }

    /// Lets go of them: who waits for the end of a pipe, or for a lock, does not wait for this process.
    pub fn close(self) {
        for number in self.0 {
            // SAFETY: open since before this program's first line, so nothing of it owns or names the descriptor.
            unsafe { libc::close(number) };
        }
    }
}

fn fcntl_is_open(number: RawFd) -> bool {
    // SAFETY: asks for the flags of a number, open or not.
    unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
}

/// Puts `fd` in the place of standard input, output or error (0, 1, 2).
///
/// # Errors
/// As `dup2(2)`.
pub fn replace_standard(stream: Stream, fd: impl AsFd) -> Result<()> {
    match stream {
        Stream::Input => rustix::stdio::dup2_stdin(fd),
        Stream::Output => rustix::stdio::dup2_stdout(fd),
        Stream::Error => rustix::stdio::dup2_stderr(fd),
    }
}

/// Gives those of standard input, output and error that are pipes to `uid`, so that this user can open them again
/// under their names in `/dev`. Files and terminals stay whose they are.
pub fn give_standard_pipes(uid: u32) {
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    for fd in [input.as_fd(), output.as_fd(), error.as_fd()] {
        let is_pipe = rfs::fstat(fd).is_ok_and(|stat| Kind::of_mode(stat.st_mode) == Kind::Fifo);
        if is_pipe {
            // A pipe of somebody else's can still be used, only not opened again.
            let _ = rfs::fchown(fd, Some(Uid::from_raw(uid)), None);
        }
    }
}

/// One of the three that every process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Input,
    Output,
    Error,
}

/// Becomes the program at `path`. Comes back only with an error.
///
/// # Errors
/// As `execve(2)`.
pub fn execute(path: &CStr, args: &[CString], env: &[CString]) -> Result<Infallible> {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: NUL-terminated strings in arrays that end with a null pointer, all alive during the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    Err(last_error())
}

/// The same with the program that is open as `file`. The descriptor ends with this process's program.
///
/// # Errors
/// As `execveat(2)`.
pub fn execute_file(file: impl AsFd, args: &[CString], env: &[CString]) -> Result<Infallible> {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: NUL-terminated strings in arrays that end with a null pointer, all alive during the call, as is `file`.
    unsafe {
        libc::syscall(libc::SYS_execveat, fd, c"".as_ptr(), args.as_ptr(), env.as_ptr(), libc::AT_EMPTY_PATH);
    }
    Err(last_error())
}

/// What this process is called in lists of processes: at most 15 bytes.
pub fn set_name(name: &CStr) {
    // A name is worth no failure.
    let _ = rth::set_name(name);
}

/// The name of the user `uid`, wherever this host keeps its users.
pub fn user_name(uid: u32) -> Option<OsString> {
    let mut room = vec![0 as libc::c_char; 16 << 10];
    // SAFETY: all-zero bytes are a valid value of these integers and pointers.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    // SAFETY: `entry`, `room` and `found` are ours to write, and the length is told.
    let status = unsafe { libc::getpwuid_r(uid, &raw mut entry, room.as_mut_ptr(), room.len(), &raw mut found) };
    if status != 0 || found.is_null() || entry.pw_name.is_null() {
        return None;
    }
    // SAFETY: on success this points to a NUL-terminated string in `room`.
    let name = unsafe { CStr::from_ptr(entry.pw_name) };
    Some(OsString::from_vec(name.to_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_shown_as_a_shell_shows_it() {
        for (status, code) in [(Status::Exited(0), 0), (Status::Exited(255), 255), (Status::Signaled(15), 143)] {
            assert_eq!(status.code(), code, "{status:?}");
        }
    }

    #[test]
    fn a_process_with_several_threads_does_not_fork() {
        // The test harness runs this on a thread of its own.
        assert_eq!(spawn(Namespaces::empty(), || 0).err(), Some(Errno::DEADLK));
    }
}
