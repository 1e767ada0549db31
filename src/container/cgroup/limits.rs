//! The limits that a cgroup sets, and which files of a cgroup hold them. Pure.

use serde::{Deserialize, Serialize};

use super::error::LimitError;

/// The least memory that a container can start with, in bytes. The same as docker's.
const MEMORY_LEAST: u64 = 6 << 20;

/// The CPU time of one CPU is counted in periods of this length, in microseconds, unless the user gives another.
const PERIOD: u64 = 100_000;

/// What a container may use. `None` sets no limit, or keeps the present one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Memory and swap together.
    pub memory_swap: Option<Most>,
    /// Bytes that the container keeps when memory is short.
    pub memory_reservation: Option<u64>,
    /// Billionths of a CPU.
    pub nano_cpus: Option<u64>,
    /// The share of CPU time among cgroups that compete; 1024 is usual.
    pub cpu_shares: Option<u64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Microseconds of CPU time in each period.
    pub cpu_quota: Option<Most>,
    /// A list such as `0-2,5`.
    pub cpuset_cpus: Option<String>,
    /// A list of memory nodes.
    pub cpuset_mems: Option<String>,
    /// Processes and threads.
    pub pids: Option<Most>,
}

/// A limit that can also be absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Most {
    Unlimited,
    Of(u64),
}

/// An option that needs a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) option: &'static str,
    pub(super) controller: &'static str,
}

/// One file of a cgroup and its new content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) controller: &'static str,
    pub(super) file: &'static str,
    pub(super) value: String,
    pub(super) option: &'static str,
    /// Whether the limit also holds without this file.
    pub(super) optional: bool,
}

impl Write {
    fn new(option: &'static str, controller: &'static str, file: &'static str, value: impl ToString) -> Write {
        Write { controller, file, value: value.to_string(), option, optional: false }
    }
}

impl Limits {
    /// # Errors
    /// A limit is too small, or two contradict each other. `cpus` is the number of CPUs of this host.
    pub fn check(&self, cpus: u64) -> Result<(), LimitError> {
        if let Some(memory) = self.memory {
            if memory < MEMORY_LEAST {
                return Err(LimitError::Memory);
            }
            if self.memory_reservation.is_some_and(|kept| kept > memory) {
                return Err(LimitError::Reservation);
            }
        }
        match (self.memory_swap, self.memory) {
            (Some(Most::Of(_)), None) => return Err(LimitError::SwapAlone),
            (Some(Most::Of(swap)), Some(memory)) if swap < memory => return Err(LimitError::Swap),
            _ => {}
        }
        if let Some(nano) = self.nano_cpus {
            if self.cpu_period.is_some() || self.cpu_quota.is_some() {
                return Err(LimitError::CpusTwice);
            }
            if nano < 10_000_000 || nano > cpus.saturating_mul(1_000_000_000) {
                return Err(LimitError::Cpus(cpus));
            }
        }
        if self.cpu_shares.is_some_and(|shares| !(2..=262_144).contains(&shares)) {
            return Err(LimitError::Shares);
        }
        if self.cpu_period.is_some_and(|period| !(1000..=1_000_000).contains(&period)) {
            return Err(LimitError::Period);
        }
        if matches!(self.cpu_quota, Some(Most::Of(..1000))) {
            return Err(LimitError::Quota);
        }
        Ok(())
    }

    /// These limits with those of `other` where it sets any.
    #[must_use]
    pub fn changed_by(&self, other: &Limits) -> Limits {
        // A new way of limiting CPU time replaces the other way.
        let by_cpus = other.nano_cpus.is_some();
        let by_quota = other.cpu_period.is_some() || other.cpu_quota.is_some();
        Limits {
            memory: other.memory.or(self.memory),
            memory_swap: other.memory_swap.or(self.memory_swap),
            memory_reservation: other.memory_reservation.or(self.memory_reservation),
            nano_cpus: other.nano_cpus.or(self.nano_cpus.filter(|_| !by_quota)),
            cpu_shares: other.cpu_shares.or(self.cpu_shares),
            cpu_period: other.cpu_period.or(self.cpu_period.filter(|_| !by_cpus)),
            cpu_quota: other.cpu_quota.or(self.cpu_quota.filter(|_| !by_cpus)),
            cpuset_cpus: other.cpuset_cpus.clone().or_else(|| self.cpuset_cpus.clone()),
            cpuset_mems: other.cpuset_mems.clone().or_else(|| self.cpuset_mems.clone()),
            pids: other.pids.or(self.pids),
        }
    }

    /// The controllers without which these limits do not hold.
    pub(super) fn needs(&self) -> Vec<Need> {
        let need = |option, controller, asked: bool| asked.then_some(Need { option, controller });
        [
            need("--memory", "memory", self.memory.is_some()),
            need("--memory-swap", "memory", self.memory_swap.is_some()),
            need("--memory-reservation", "memory", self.memory_reservation.is_some()),
            need("--cpus", "cpu", self.nano_cpus.is_some()),
            need("--cpu-shares", "cpu", self.cpu_shares.is_some()),
            need("--cpu-period", "cpu", self.cpu_period.is_some()),
            need("--cpu-quota", "cpu", self.cpu_quota.is_some()),
            need("--cpuset-cpus", "cpuset", self.cpuset_cpus.is_some()),
            need("--cpuset-mems", "cpuset", self.cpuset_mems.is_some()),
            need("--pids-limit", "pids", self.pids.is_some_and(|pids| pids != Most::Unlimited)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Quota and period in microseconds, and the option that gave them.
    fn cpu_time(&self) -> Option<(Most, u64, &'static str)> {
        if let Some(nano) = self.nano_cpus {
            return Some((Most::Of(nano.saturating_mul(PERIOD) / 1_000_000_000), PERIOD, "--cpus"));
        }
        let option = if self.cpu_quota.is_some() { "--cpu-quota" } else { "--cpu-period" };
        let set = self.cpu_quota.is_some() || self.cpu_period.is_some();
        set.then(|| (self.cpu_quota.unwrap_or(Most::Unlimited), self.cpu_period.unwrap_or(PERIOD), option))
    }

    /// Memory and swap together: without a wish, twice the memory, as docker has it.
    fn swap(&self) -> Option<(Most, bool)> {
        match (self.memory_swap, self.memory) {
            (Some(swap), _) => Some((swap, false)),
            (None, Some(memory)) => Some((Most::Of(memory.saturating_mul(2)), true)),
            (None, None) => None,
        }
    }

    /// The limit of memory and swap together that holds.
    pub fn swap_limit(&self) -> Option<Most> {
        self.swap().map(|(most, _)| most)
    }

    /// The files of version 1, in an order in which a new cgroup takes them.
    pub(super) fn v1(&self) -> Vec<Write> {
        let signed = |most: Most| match most {
            Most::Unlimited => "-1".to_owned(),
            Most::Of(number) => number.to_string(),
        };
        let mut writes = Vec::new();
        if let Some(memory) = self.memory {
            writes.push(Write::new("--memory", "memory", "memory.limit_in_bytes", memory));
        }
        if let Some((swap, optional)) = self.swap() {
            let write = Write::new("--memory-swap", "memory", "memory.memsw.limit_in_bytes", signed(swap));
            writes.push(Write { optional, ..write });
        }
        if let Some(kept) = self.memory_reservation {
            writes.push(Write::new("--memory-reservation", "memory", "memory.soft_limit_in_bytes", kept));
        }
        if let Some(shares) = self.cpu_shares {
            writes.push(Write::new("--cpu-shares", "cpu", "cpu.shares", shares));
        }
        if let Some((quota, period, option)) = self.cpu_time() {
            writes.push(Write::new(option, "cpu", "cpu.cfs_period_us", period));
            writes.push(Write::new(option, "cpu", "cpu.cfs_quota_us", signed(quota)));
        }
        self.sets(&mut writes);
        if let Some(pids) = self.pids {
            writes.push(pids_max(pids));
        }
        writes
    }

    /// The files of version 2.
    pub(super) fn v2(&self) -> Vec<Write> {
        let max = |most: Most| match most {
            Most::Unlimited => "max".to_owned(),
            Most::Of(number) => number.to_string(),
        };
        let mut writes = Vec::new();
        if let Some(memory) = self.memory {
            writes.push(Write::new("--memory", "memory", "memory.max", memory));
        }
        if let Some((both, optional)) = self.swap() {
            // Version 2 limits swap alone.
            let swap = match both {
                Most::Unlimited => Most::Unlimited,
                Most::Of(both) => Most::Of(both.saturating_sub(self.memory.unwrap_or(0))),
            };
            let write = Write::new("--memory-swap", "memory", "memory.swap.max", max(swap));
            writes.push(Write { optional, ..write });
        }
        if let Some(kept) = self.memory_reservation {
            writes.push(Write::new("--memory-reservation", "memory", "memory.low", kept));
        }
        if let Some(shares) = self.cpu_shares {
            // The range of version 1, 2 to 262144, becomes 1 to 10000, as in runc.
            let weight = 1 + shares.saturating_sub(2) * 9999 / 262_142;
            writes.push(Write::new("--cpu-shares", "cpu", "cpu.weight", weight));
        }
        if let Some((quota, period, option)) = self.cpu_time() {
            writes.push(Write::new(option, "cpu", "cpu.max", format!("{} {period}", max(quota))));
        }
        self.sets(&mut writes);
        if let Some(pids) = self.pids {
            writes.push(pids_max(pids));
        }
        writes
    }

    fn sets(&self, writes: &mut Vec<Write>) {
        if let Some(cpus) = &self.cpuset_cpus {
            writes.push(Write::new("--cpuset-cpus", "cpuset", "cpuset.cpus", cpus));
        }
        if let Some(nodes) = &self.cpuset_mems {
            writes.push(Write::new("--cpuset-mems", "cpuset", "cpuset.mems", nodes));
        }
    }
}

fn pids_max(pids: Most) -> Write {
    let value = match pids {
        Most::Unlimited => "max".to_owned(),
        Most::Of(number) => number.to_string(),
    };
    Write { optional: pids == Most::Unlimited, ..Write::new("--pids-limit", "pids", "pids.max", value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(writes: &[Write]) -> Vec<String> {
        writes.iter().map(|write| format!("{}={}", write.file, write.value)).collect()
    }

    #[test]
    fn limits_become_the_files_of_each_version() {
        const MIB: u64 = 1 << 20;
        let none = Limits::default;
        for (limits, v1, v2) in [
            (none(), &[][..], &[][..]),
            (
                Limits { memory: Some(64 * MIB), ..none() },
                &["memory.limit_in_bytes=67108864", "memory.memsw.limit_in_bytes=134217728"],
                &["memory.max=67108864", "memory.swap.max=67108864"],
            ),
            (
                Limits { memory: Some(64 * MIB), memory_swap: Some(Most::Of(64 * MIB)), ..none() },
                &["memory.limit_in_bytes=67108864", "memory.memsw.limit_in_bytes=67108864"],
                &["memory.max=67108864", "memory.swap.max=0"],
            ),
            (
                Limits { memory: Some(64 * MIB), memory_swap: Some(Most::Unlimited), ..none() },
                &["memory.limit_in_bytes=67108864", "memory.memsw.limit_in_bytes=-1"],
                &["memory.max=67108864", "memory.swap.max=max"],
            ),
            (
                Limits { memory_reservation: Some(MIB), cpu_shares: Some(1024), ..none() },
                &["memory.soft_limit_in_bytes=1048576", "cpu.shares=1024"],
                &["memory.low=1048576", "cpu.weight=39"],
            ),
            (
                Limits { nano_cpus: Some(1_500_000_000), ..none() },
                &["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=150000"],
                &["cpu.max=150000 100000"],
            ),
            (
                Limits { cpu_period: Some(50_000), cpu_quota: Some(Most::Of(25_000)), ..none() },
                &["cpu.cfs_period_us=50000", "cpu.cfs_quota_us=25000"],
                &["cpu.max=25000 50000"],
            ),
            (
                Limits { cpu_period: Some(50_000), ..none() },
                &["cpu.cfs_period_us=50000", "cpu.cfs_quota_us=-1"],
                &["cpu.max=max 50000"],
            ),
            (
                Limits { cpuset_cpus: Some("0".into()), cpuset_mems: Some("0".into()), ..none() },
                &["cpuset.cpus=0", "cpuset.mems=0"],
                &["cpuset.cpus=0", "cpuset.mems=0"],
            ),
            (Limits { pids: Some(Most::Of(20)), ..none() }, &["pids.max=20"], &["pids.max=20"]),
            (Limits { pids: Some(Most::Unlimited), ..none() }, &["pids.max=max"], &["pids.max=max"]),
        ] {
            assert_eq!(lines(&limits.v1()), v1, "{limits:?}");
            assert_eq!(lines(&limits.v2()), v2, "{limits:?}");
        }
    }

    #[test]
    fn limits_that_cannot_be_are_refused() {
        const MIB: u64 = 1 << 20;
        let none = Limits::default;
        for (limits, expected) in [
            (none(), Ok(())),
            (Limits { memory: Some(6 * MIB), memory_reservation: Some(6 * MIB), ..none() }, Ok(())),
            (Limits { memory: Some(6 * MIB - 1), ..none() }, Err(LimitError::Memory)),
            (
                Limits { memory: Some(6 * MIB), memory_reservation: Some(7 * MIB), ..none() },
                Err(LimitError::Reservation),
            ),
            (Limits { memory_swap: Some(Most::Of(6 * MIB)), ..none() }, Err(LimitError::SwapAlone)),
            (Limits { memory: Some(8 * MIB), memory_swap: Some(Most::Of(7 * MIB)), ..none() }, Err(LimitError::Swap)),
            (Limits { nano_cpus: Some(2_000_000_000), ..none() }, Ok(())),
            (Limits { nano_cpus: Some(2_000_000_001), ..none() }, Err(LimitError::Cpus(2))),
            (Limits { nano_cpus: Some(1), ..none() }, Err(LimitError::Cpus(2))),
            (Limits { nano_cpus: Some(1_000_000_000), cpu_period: Some(1000), ..none() }, Err(LimitError::CpusTwice)),
            (Limits { cpu_shares: Some(1), ..none() }, Err(LimitError::Shares)),
            (Limits { cpu_period: Some(999), ..none() }, Err(LimitError::Period)),
            (Limits { cpu_quota: Some(Most::Of(999)), ..none() }, Err(LimitError::Quota)),
        ] {
            assert_eq!(limits.check(2), expected, "{limits:?}");
        }
    }

    #[test]
    fn a_change_replaces_what_it_names() {
        let by_quota = Limits { cpu_quota: Some(Most::Of(5000)), pids: Some(Most::Of(5)), ..Limits::default() };
        let by_cpus = Limits { nano_cpus: Some(1), memory: Some(9), ..Limits::default() };
        let both = by_quota.changed_by(&by_cpus);
        assert_eq!((both.cpu_quota, both.nano_cpus, both.memory, both.pids), (None, Some(1), Some(9), by_quota.pids));
        let back = both.changed_by(&by_quota);
        assert_eq!((back.cpu_quota, back.nano_cpus), (by_quota.cpu_quota, None));
    }
}
