//! Waiting for several descriptors at once.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::{Errno, Result};

/// What is waited for. That the other end is gone always counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    Read,
    Write,
    Hangup,
}

/// Waits until one of `these` is ready, and says which are.
///
/// # Errors
/// As `poll(2)`, but for `EINTR`, after which it goes on.
pub fn wait(these: &[(BorrowedFd<'_>, Interest)]) -> Result<Vec<bool>> {
    poll(these, None)
}

/// Waits until one of `these` is ready, or `most` has passed, and says which are.
///
/// # Errors
/// As [`wait`].
pub fn wait_for(these: &[(BorrowedFd<'_>, Interest)], most: Duration) -> Result<Vec<bool>> {
    // A wait of 68 years is one without end.
    let tv_sec = i64::try_from(most.as_secs()).unwrap_or(i64::MAX).min(i64::from(i32::MAX));
    poll(these, Some(&Timespec { tv_sec, tv_nsec: most.subsec_nanos().into() }))
}

/// Says which of `these` are ready now.
///
/// # Errors
/// As `poll(2)`.
pub fn now(these: &[(BorrowedFd<'_>, Interest)]) -> Result<Vec<bool>> {
    poll(these, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))
}

fn poll(these: &[(BorrowedFd<'_>, Interest)], timeout: Option<&Timespec>) -> Result<Vec<bool>> {
    let events = |interest| match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
        Interest::Hangup => PollFlags::empty(),
    };
    let mut polled: Vec<PollFd<'_>> =
        these.iter().map(|&(fd, interest)| PollFd::from_borrowed_fd(fd, events(interest))).collect();
    loop {
        match rustix::event::poll(&mut polled, timeout) {
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
            Ok(_) => break,
        }
    }
    Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect())
}
