//! A child process that runs a few system calls of a test: other processes are who locks and signals are about.

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Killed(i32),
}

/// Forks, runs `act` in the child, and answers how it ended.
///
/// This process has threads, so that `act` may do system calls and nothing else: no allocation, no lock.
pub fn run(act: impl FnOnce() -> i32) -> End {
    // SAFETY: between the fork and `_exit` the child only does what `act`, by contract, restricts itself to.
    let child = unsafe { libc::fork() };
    match child {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            let code = act();
            // SAFETY: ends the child, running nothing of this process's.
            unsafe { libc::_exit(code) }
        }
        pid => wait(pid),
    }
}

fn wait(pid: libc::pid_t) -> End {
    let mut status = 0;
    // SAFETY: waits for our own child, into an integer of ours.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } == -1 {
        assert_eq!(std::io::Error::last_os_error().kind(), std::io::ErrorKind::Interrupted, "wait for a child");
    }
    if libc::WIFSIGNALED(status) { End::Killed(libc::WTERMSIG(status)) } else { End::Exited(libc::WEXITSTATUS(status)) }
}

/// The signal by which a child died that ran `act`; none where it ended by itself.
pub fn signal_of(act: impl FnOnce() -> i32) -> Option<i32> {
    match run(|| {
        // SAFETY: the test harness's own handler for this signal would start its report in the child.
        unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
        act()
    }) {
        End::Killed(signal) => Some(signal),
        End::Exited(_) => None,
    }
}

/// What the last failed call in a child answers as its exit code.
pub fn errno() -> i32 {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}
