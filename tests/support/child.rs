//! Runs a few system calls of a test in a child process: locks and fatal signals need a process of their own.

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Killed(i32),
}

/// Forks, runs `act` in the child, and returns how the child ended.
///
/// This process has several threads, so `act` may only make system calls: no allocation, no lock.
pub fn run(act: impl FnOnce() -> i32) -> End {
    // SAFETY: between the fork and `_exit` the child only makes system calls, as the contract of `act` demands.
    let child = unsafe { libc::fork() };
    match child {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            let code = act();
            // SAFETY: ends the child without running exit handlers of this process.
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

/// Runs `act` in a child; returns the signal that killed it, or `None` if it exited.
pub fn signal_of(act: impl FnOnce() -> i32) -> Option<i32> {
    match run(|| {
        // SAFETY: takes only constants. The default action keeps the test harness's handler from starting its report in
        // the child.
        unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
        act()
    }) {
        End::Killed(signal) => Some(signal),
        End::Exited(_) => None,
    }
}

/// The errno of the last failed call; a child returns it as its exit code.
pub fn errno() -> i32 {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}
