//! Names of processes that a reused number does not fake.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::process::{self as rps, Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

use super::{Errno, Result};

/// A process of this host, named so that another process with a reused number is not taken for it. Comparable only
/// while the host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The process number.
    pub pid: u32,
    /// When it started, in clock ticks since the host's boot, as `/proc/PID/stat` has it.
    pub start: u64,
}

impl ProcessId {
    /// Names the process that has the number `pid` now; `None` if there is none.
    pub fn of(pid: u32) -> Option<ProcessId> {
        // The name, the second field, is in parentheses and can contain anything. `starttime` is the 22nd field.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, after_name) = stat.rsplit_once(") ")?;
        let start = after_name.split(' ').nth(19)?.parse().ok()?;
        Some(ProcessId { pid, start })
    }

    /// Names the process that `pidfd` refers to; `None` if it has ended, or this process's PID namespace has no number for
    /// it.
    pub fn of_descriptor(pidfd: impl AsFd) -> Option<ProcessId> {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd())).ok()?;
        let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())?;
        if pid == 0 { None } else { Self::of(pid) }
    }

    /// Whether the process handles or ignores `signal`, instead of leaving it to the kernel. Also true when it has ended.
    pub fn minds(self, signal: i32) -> bool {
        let bit = u32::try_from(signal - 1).ok().and_then(|shift| 1u64.checked_shl(shift)).unwrap_or(0);
        self.masks(&["SigCgt:", "SigIgn:"]).is_none_or(|mask| mask & bit != 0)
    }

    /// Whether programs that the process executes can have the capability of this number. False when it has ended.
    pub fn bounds(self, capability: u32) -> bool {
        let bit = 1u64.checked_shl(capability).unwrap_or(0);
        self.masks(&["CapBnd:"]).is_some_and(|mask| mask & bit != 0)
    }

    /// The bits of these lines of `/proc/PID/status`; `None` when the process has ended.
    fn masks(self, names: &[&str]) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let mask = |line: &str| names.iter().find_map(|name| line.strip_prefix(name)).map(str::trim).map(hexadecimal);
        Some(status.lines().filter_map(mask).fold(0, |all, mask| all | mask))
    }

    /// A descriptor of the process; `None` if it has ended.
    ///
    /// # Errors
    /// As `pidfd_open(2)`, but for `ESRCH`.
    pub fn open(self) -> Result<Option<OwnedFd>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let fd = match rps::pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(None),
            other => other?,
        };
        // The descriptor keeps the number from being reused, so what is read now is about the same process.
        Ok((ProcessId::of(self.pid) == Some(self)).then_some(fd))
    }
}

fn hexadecimal(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap_or(0)
}

/// The children of a process, oldest first; none of one that has ended.
pub fn children(of: ProcessId) -> Vec<ProcessId> {
    let listed = fs::read_to_string(format!("/proc/{0}/task/{0}/children", of.pid)).unwrap_or_default();
    if ProcessId::of(of.pid) != Some(of) {
        return Vec::new();
    }
    listed.split_whitespace().filter_map(|pid| ProcessId::of(pid.parse().ok()?)).collect()
}
