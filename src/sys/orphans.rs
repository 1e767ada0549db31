//! Adopting orphaned descendants, so that this process can find and kill daemons that others detached.

use std::fs;

use rustix::process::{self as rps, Pid, PidfdFlags, Signal};

use super::{Errno, Result};

/// From now on, a descendant that loses its parent becomes a child of this process.
///
/// # Errors
/// As `prctl(2)`.
pub fn adopt() -> Result<()> {
    rps::set_child_subreaper(Some(rps::getpid()))
}

/// The process ids of this process's living children, its own and adopted ones.
pub fn children() -> Vec<u32> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| parent_of_living(*id) == Some(own)).collect()
}

/// `None` for a process that has ended, also when it is still a zombie.
fn parent_of_living(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name before the last `)` may hold any bytes.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.next()?.parse().ok() }
}

/// Kills a child. A child that has ended already is no error.
///
/// # Errors
/// As `pidfd_open(2)` and `pidfd_send_signal(2)`.
pub fn kill(child: u32) -> Result<()> {
    // The kernel does not reuse the number before this process waits for the child.
    let Some(pid) = i32::try_from(child).ok().and_then(Pid::from_raw) else { return Err(Errno::INVAL) };
    let fd = match rps::pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        other => other?,
    };
    match rps::pidfd_send_signal(&fd, Signal::KILL) {
        Err(Errno::SRCH) => Ok(()),
        other => other,
    }
}
