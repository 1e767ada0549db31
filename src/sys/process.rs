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

pub use super::process_id::{ProcessId, children};
use super::{Channel, Errno, Kind, Namespaces, Result};

/// The exit status of a child that panicked.
const PANICKED: i32 = 101;

/// Descriptors below this one are standard input, output and error.
const FIRST_BESIDE_STREAMS: libc::c_uint = 3;

/// A child of this process that has not been waited for, so the kernel cannot have reused its process id.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    fd: OwnedFd,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It ended by itself with this status.
    Exited(u8),
    /// This signal ended it.
    Signaled(i32),
}

impl Status {
    /// The code that a shell shows in `$?`: the exit status, or 128 + N after signal N.
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

/// The descriptor becomes readable when the child has ended.
impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Child {
    /// A process that became a child of this one when its parent ended. This process is process 1 of their PID
    /// namespace and has not waited for it yet.
    ///
    /// # Errors
    /// As `pidfd_open(2)`; `EINVAL` when `pid` is no process number.
    pub fn adopted(pid: u32) -> Result<Child> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::INVAL)?;
        Ok(Child { pid, fd: rps::pidfd_open(pid, PidfdFlags::empty())? })
    }

    /// The child's process id in this process's PID namespace.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends signal number `signal`. Does nothing when the child has already ended.
    ///
    /// # Errors
    /// As `pidfd_send_signal(2)`; `EINVAL` when there is no such signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        send_signal(&self.fd, signal)
    }

    /// The name that lists of processes show; still that of an ended child. `None` without a `/proc`.
    pub fn name(&self) -> Option<String> {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.id())).ok()?;
        Some(name.trim_end_matches('\n').to_owned())
    }

    /// Kills the child.
    ///
    /// # Errors
    /// As `pidfd_send_signal(2)`.
    pub fn kill(&self) -> Result<()> {
        self.signal(libc::SIGKILL)
    }

    /// Waits until the child has ended.
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

/// Sends signal number `signal` to the process that `pidfd` refers to. Does nothing when it has already ended.
///
/// # Errors
/// As `pidfd_send_signal(2)`; `EINVAL` when there is no such signal.
pub fn send_signal(pidfd: impl AsFd, signal: i32) -> Result<()> {
    let signal = Signal::from_named_raw(signal).or_else(|| real_time(signal)).ok_or(Errno::INVAL)?;
    match rps::pidfd_send_signal(pidfd, signal) {
        Err(Errno::SRCH) => Ok(()),
        other => other,
    }
}

fn real_time(signal: i32) -> Option<Signal> {
    if !(libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&signal) {
        return None;
    }
    // SAFETY: the C library reserves no signal between SIGRTMIN and SIGRTMAX.
    Some(unsafe { Signal::from_raw_unchecked(signal) })
}

/// Runs `work` in a child process in new `namespaces`; the child exits with the result of `work`.
///
/// The child has a copy of all memory and descriptors. It never returns to the caller's code, so values that the caller
/// holds are not dropped twice.
///
/// # Errors
/// As `clone3(2)`. `EDEADLK` when this process has several threads: the child would have only one of them, and a lock
/// that another thread held would stay locked for ever.
pub fn spawn(namespaces: Namespaces, work: impl FnOnce() -> i32) -> Result<Child> {
    match fork(namespaces, None)? {
        Some(child) => Ok(child),
        None => end_with(work),
    }
}

/// As [`spawn`], with a channel between parent and child. Each side holds one end only, so each notices when the other
/// ends.
///
/// # Errors
/// As [`spawn`] and `socketpair(2)`.
pub fn spawn_connected(namespaces: Namespaces, work: impl FnOnce(Channel) -> i32) -> Result<(Child, Channel)> {
    spawn_connected_in(namespaces, None, work)
}

/// As [`spawn_connected`]; the child starts in `cgroup`, given by a descriptor of its directory in the hierarchy of
/// version 2.
///
/// # Errors
/// As [`spawn_connected`]; `EACCES` and `EBUSY` when the cgroup may take no process.
pub fn spawn_connected_in(
    namespaces: Namespaces,
    cgroup: Option<BorrowedFd<'_>>,
    work: impl FnOnce(Channel) -> i32,
) -> Result<(Child, Channel)> {
    let (ours, theirs) = Channel::pair()?;
    match fork(namespaces, cgroup)? {
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

/// Waits for threads that have been joined to vanish from the kernel's list of this process's threads, which takes a
/// moment longer than the join. Afterwards this process can fork again.
pub fn wait_to_be_alone() {
    const TRIES: u32 = 1000;
    for _ in 0..TRIES {
        if thread_count().is_ok_and(|count| count == 1) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// `None` in the child.
fn fork(namespaces: Namespaces, cgroup: Option<BorrowedFd<'_>>) -> Result<Option<Child>> {
    const INTO_CGROUP: u64 = 1 << 33;
    if thread_count()? != 1 {
        return Err(Errno::DEADLK);
    }
    let answer = if namespaces.is_empty() && cgroup.is_none() {
        // SAFETY: there is no other thread, whose locks would stay held in the child; the child continues with a copy
        // of everything.
        i64::from(unsafe { libc::fork() })
    } else {
        // SAFETY: all-zero bytes are a valid value of these integers. Without a stack, the child continues on a copy of
        // ours.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = namespaces.clone_flags();
        args.exit_signal = libc::SIGCHLD as u64;
        if let Some(cgroup) = cgroup {
            args.flags |= INTO_CGROUP;
            args.cgroup = cgroup.as_raw_fd().unsigned_abs().into();
        }
        // SAFETY: as for fork. `args` outlives the call, which gets its size.
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

/// Kills a process. One that has ended is no error.
///
/// # Errors
/// As `pidfd_send_signal(2)`.
pub fn kill(process: impl AsFd) -> Result<()> {
    match rps::pidfd_send_signal(process, Signal::KILL) {
        Err(Errno::SRCH) => Ok(()),
        other => other,
    }
}

/// Exits this process at once, without running exit handlers.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` touches no memory of this process.
    unsafe { libc::_exit(code) }
}

/// Reaps one child that has already ended, whoever started it; returns its process id and status. `None` when no child
/// has ended.
///
/// # Errors
/// `ECHILD` when this process has no children; else as `waitpid(2)`.
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

/// Waits until no child of this process is left, whoever started it.
///
/// # Errors
/// As `waitpid(2)`, but for `ECHILD`.
pub fn wait_for_children() -> Result<()> {
    loop {
        match retry_on_intr(|| rps::wait(WaitOptions::empty())) {
            Err(Errno::CHILD) => return Ok(()),
            other => drop(other?),
        }
    }
}

/// Begins a session: this process leaves its controlling terminal and its process group.
///
/// # Errors
/// `EPERM` when this process leads a process group.
pub fn new_session() -> Result<()> {
    rps::setsid().map(drop)
}

/// Makes the kernel kill this process as soon as its parent is gone.
///
/// The kernel forgets this whenever the credentials change, and when a set-id program is executed.
///
/// # Errors
/// As `prctl(2)`.
pub fn die_with_parent() -> Result<()> {
    rps::set_parent_process_death_signal(Some(Signal::KILL))
}

/// Takes [`die_with_parent`] back.
///
/// # Errors
/// As `prctl(2)`.
pub fn outlive_parent() -> Result<()> {
    rps::set_parent_process_death_signal(None)
}

/// Forbids other processes, even of the same user, to trace this one or read its memory.
///
/// # Errors
/// As `prctl(2)`.
pub fn hide() -> Result<()> {
    rps::set_dumpable_behavior(rps::DumpableBehavior::NotDumpable)
}

/// Undoes [`hide`], for a child of a hidden process.
///
/// # Errors
/// As `prctl(2)`.
pub fn show() -> Result<()> {
    rps::set_dumpable_behavior(rps::DumpableBehavior::Dumpable)
}

/// Programs that this process executes later gain no privileges by set-id bits or file capabilities.
///
/// # Errors
/// As `prctl(2)`.
pub fn gain_no_privileges() -> Result<()> {
    rth::set_no_new_privs(true)
}

/// Sets the permission bits that new files do not get.
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
/// As `fchdir(2)`; `EXDEV` when no path from the root leads to it.
pub fn enter_dir(dir: impl AsFd) -> Result<()> {
    rps::fchdir(dir)?;
    // For a directory outside the root, the kernel puts "(unreachable)" before the path.
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

/// Changes to another user, group and groups. Leaving root's ids drops its capabilities. The process must have one
/// thread.
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

/// Closes every descriptor except the standard streams and `kept`. For a child that was just forked: it must not keep
/// descriptors that its parent opened or inherited.
///
/// In the child, the values that own these descriptors are copies of the parent's. The child must never use them again.
///
/// # Errors
/// As `close_range(2)`.
pub fn close_all_but(kept: impl AsFd) -> Result<()> {
    close_all_except(&[kept.as_fd()])
}

/// As [`close_all_but`], with several descriptors to keep.
///
/// # Errors
/// As `close_range(2)`.
pub fn close_all_except(kept: &[BorrowedFd<'_>]) -> Result<()> {
    let close = |first: libc::c_uint, last: libc::c_uint| -> Result<()> {
        if first > last {
            return Ok(());
        }
        // SAFETY: the child never reaches the values that own these descriptors: `spawn` ends it before they are
        // dropped.
        let status = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        if status == 0 { Ok(()) } else { Err(last_error()) }
    };
    let mut kept: Vec<libc::c_uint> = kept.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).collect();
    kept.sort_unstable();
    let mut first = FIRST_BESIDE_STREAMS;
    for number in kept {
        close(first, number.saturating_sub(1))?;
        first = number.saturating_add(1).max(FIRST_BESIDE_STREAMS);
    }
    close(first, libc::c_uint::MAX)
}

/// Makes the next [`execute`] close every descriptor from `first` on.
///
/// # Errors
/// As `close_range(2)`.
pub fn close_on_execute_from(first: u32) -> Result<()> {
    const CLOEXEC: libc::c_uint = 1 << 2;
    // SAFETY: this sets a flag on descriptors and closes none.
    let status = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOEXEC) };
    if status == 0 { Ok(()) } else { Err(last_error()) }
}

/// The descriptors besides the standard streams that this process inherited from the process that started it.
#[derive(Clone, Debug)]
pub struct Inherited(Vec<RawFd>);

impl Inherited {
    /// Must be called before this process opens anything.
    pub fn at_start() -> Inherited {
        let numbers = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let mut numbers: Vec<RawFd> = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        // The listing's own descriptor is closed by now, so `fcntl` drops its number.
        numbers.retain(|&number| number > 2 && fcntl_is_open(number));
        Inherited(numbers)
    }

    /// Closes them, so that no process waits for this one at the end of a pipe or for a lock.
    pub fn close(self) {
        for number in self.0 {
            // SAFETY: these were open before this program's first line, so no value of this program owns them.
            unsafe { libc::close(number) };
        }
    }
}

fn fcntl_is_open(number: RawFd) -> bool {
    // SAFETY: reads the flags of a descriptor; any number is allowed.
    unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
}

/// Replaces standard input, output or error by `fd`.
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

/// Gives the pipes among standard input, output and error to `uid`, so that this user can open them again by their
/// names in `/dev`. Files and terminals keep their owners.
pub fn give_standard_pipes(uid: u32) {
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    for fd in [input.as_fd(), output.as_fd(), error.as_fd()] {
        let is_pipe = rfs::fstat(fd).is_ok_and(|stat| Kind::of_mode(stat.st_mode) == Kind::Fifo);
        if is_pipe {
            // A pipe that belongs to another user still works; it can only not be opened again.
            let _ = rfs::fchown(fd, Some(Uid::from_raw(uid)), None);
        }
    }
}

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard input.
    Input,
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Replaces this program by the one at `path`. Returns only on an error.
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

/// As [`execute`], with the program open as `file`. The descriptor closes with the old program, if it is close-on-exec.
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

/// Sets the name that lists of processes show, at most 15 bytes.
pub fn set_name(name: &CStr) {
    // A missing name is no reason to fail.
    let _ = rth::set_name(name);
}

/// The name of user `uid` in this host's user database; `None` when there is none.
pub fn user_name(uid: u32) -> Option<OsString> {
    let mut room = vec![0 as libc::c_char; 16 << 10];
    // SAFETY: all-zero bytes are a valid value of these integers and pointers.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    // SAFETY: `entry`, `room` and `found` are ours to write, and the call gets the length.
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
        // The test harness runs each test on a thread of its own, so there are several.
        assert_eq!(spawn(Namespaces::empty(), || 0).err(), Some(Errno::DEADLK));
    }
}
