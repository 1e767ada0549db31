//! Waiting for several descriptors at once.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::{Errno, Result};

/// The event to wait for. A hangup of the other end always counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// There is something to read, or the other end is closed.
    Read,
    /// Writing does not block.
    Write,
    /// The other end is closed.
    Hangup,
}

/// Waits until at least one of `these` is ready; returns for each whether it is.
///
/// # Errors
/// As `poll(2)`, except `EINTR`: the wait then continues.
pub fn wait(these: &[(BorrowedFd<'_>, Interest)]) -> Result<Vec<bool>> {
    poll(these, None)
}

/// Waits until at least one of `these` is ready or `most` has passed; returns for each whether it is ready.
///
/// # Errors
/// As [`wait`].
pub fn wait_for(these: &[(BorrowedFd<'_>, Interest)], most: Duration) -> Result<Vec<bool>> {
    // No caller waits longer than 68 years (2^31 seconds).
    let tv_sec = i64::try_from(most.as_secs()).unwrap_or(i64::MAX).min(i64::from(i32::MAX));
    poll(these, Some(&Timespec { tv_sec, tv_nsec: most.subsec_nanos().into() }))
}

/// Returns for each of `these` whether it is ready now.
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
