//! What a container uses now, as its cgroup counts it.

use std::fs;

use super::hierarchy::Version;
use super::{Cgroup, Part, number, processes};
use crate::sys::process::ProcessId;

/// What a container uses, or has used so far. `None` where no controller counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Nanoseconds of CPU time so far.
    pub cpu: Option<u64>,
    /// Bytes of memory, without the part of the page cache that was not used lately, as docker counts.
    pub memory: Option<u64>,
    /// Bytes of memory that it may use; `None` without a limit.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Bytes read from disks so far.
    pub read: Option<u64>,
    /// Bytes written to disks so far.
    pub written: Option<u64>,
}

/// Version 1 writes "no limit" as the largest multiple of a page; no machine has this much.
const ENDLESS: u64 = 1 << 60;

impl Cgroup {
    pub fn usage(&self) -> Usage {
        let (read, written) = self.io();
        Usage {
            cpu: self.cpu(),
            memory: self.memory(),
            memory_limit: self.memory_limit(),
            pids: self.pids(),
            read,
            written,
        }
    }

    fn cpu(&self) -> Option<u64> {
        match self.part("cpuacct") {
            Some(part) => part.value("cpuacct.usage"),
            // Version 2 counts in every cgroup, in microseconds.
            None => number(&self.unified()?.read("cpu.stat"), "usage_usec")?.checked_mul(1000),
        }
    }

    fn memory(&self) -> Option<u64> {
        let part = self.part("memory")?;
        let (all, inactive) = match part.version {
            Version::V1 => ("memory.usage_in_bytes", "total_inactive_file"),
            Version::V2 => ("memory.current", "inactive_file"),
        };
        let inactive = number(&part.read("memory.stat"), inactive).unwrap_or(0);
        Some(part.value(all)?.saturating_sub(inactive))
    }

    fn memory_limit(&self) -> Option<u64> {
        let part = self.part("memory")?;
        let file = match part.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        part.value(file).filter(|&limit| limit < ENDLESS)
    }

    fn pids(&self) -> Option<u64> {
        match self.part("pids") {
            Some(part) => part.value("pids.current"),
            None => self.parts.first().map(|part| processes(&part.dir).len() as u64),
        }
    }

    fn io(&self) -> (Option<u64>, Option<u64>) {
        let text = if let Some(part) = self.part("blkio") {
            sum_v1(&part.read("blkio.throttle.io_service_bytes_recursive"))
        } else if let Some(part) = self.part("io") {
            sum_v2(&part.read("io.stat"))
        } else {
            return (None, None);
        };
        (Some(text.0), Some(text.1))
    }
}

impl Part {
    /// The number in a file; `None` for `max`.
    fn value(&self, file: &str) -> Option<u64> {
        self.read(file).trim().parse().ok()
    }
}

/// Bytes read and written, from lines `MAJOR:MINOR Read|Write|… BYTES`.
fn sum_v1(text: &str) -> (u64, u64) {
    let sum = |kind: &str| -> u64 {
        let of_kind = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        of_kind
            .filter(|fields| fields.get(1) == Some(&kind))
            .filter_map(|fields| fields.get(2)?.parse::<u64>().ok())
            .sum()
    };
    (sum("Read"), sum("Write"))
}

/// Bytes read and written, from lines `MAJOR:MINOR rbytes=N wbytes=N …`.
fn sum_v2(text: &str) -> (u64, u64) {
    let sum = |key: &str| -> u64 {
        text.split_whitespace()
            .filter_map(|field| field.strip_prefix(key)?.strip_prefix('=')?.parse::<u64>().ok())
            .sum()
    };
    (sum("rbytes"), sum("wbytes"))
}

/// Bytes that the network of a process has received and sent, without those of the loopback interface. `None` when the
/// process has ended.
pub fn network_bytes(process: ProcessId) -> Option<(u64, u64)> {
    Some(sum_network(&fs::read_to_string(format!("/proc/{}/net/dev", process.pid)).ok()?))
}

/// Reads lines `NAME: RECEIVED …7… SENT …`.
fn sum_network(text: &str) -> (u64, u64) {
    let interfaces = text.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| name.trim() != "lo");
    let number =
        |numbers: &str, at| numbers.split_whitespace().nth(at).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    interfaces.fold((0, 0), |(received, sent), (_, numbers)| (received + number(numbers, 0), sent + number(numbers, 8)))
}

/// Bytes of memory that this host has.
pub fn host_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_all_disks_are_added() {
        let v1 = "8:0 Read 4096\n8:0 Write 10\n8:0 Sync 4106\n8:16 Read 1\n8:16 Total 1\nTotal 4107\n";
        assert_eq!(sum_v1(v1), (4097, 10));
        assert_eq!(sum_v2("8:0 rbytes=7 wbytes=1 rios=3 wios=4\n8:16 rbytes=2 wbytes=2 dbytes=0\n"), (9, 3));
        assert_eq!((sum_v1(""), sum_v2("")), ((0, 0), (0, 0)));
    }

    #[test]
    fn bytes_of_all_interfaces_but_the_loopback_are_added() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes    packets\n    lo: 5 1 0 0 0 0 0 0 5 1\n\
                    eth0:100 2 0 0 0 0 0 0 200 3 0\n  eth1: 1 0 0 0 0 0 0 0 2 0\n";
        assert_eq!(sum_network(text), (101, 202));
        assert_eq!(sum_network(""), (0, 0));
    }
}
