//! Options about what the container may use.

use anyhow::{Result, bail};
use clap::Args;

use crate::container::{Limits, Most, Resources, Sysctl, Ulimit, bytes};
use crate::sys;

#[derive(Debug, Args)]
pub(in crate::cli::container) struct ResourceArgs {
    #[command(flatten)]
    limits: LimitArgs,
    /// The cgroup in which the container's cgroup is made: a path from the top, or one below this process's cgroup
    #[arg(long, value_name = "CGROUP")]
    cgroup_parent: Option<String>,
    /// Limit each process, for example nofile=1024:2048; -1 is no limit
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]")]
    ulimits: Vec<Ulimit>,
    /// How likely the kernel kills the container when memory runs out, from -1000 (never) to 1000
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    oom_score_adj: Option<i32>,
    /// Set a setting of the kernel in the container's namespaces: net.* without the host's network, and those of IPC
    #[arg(long = "sysctl", value_name = "NAME=VALUE", conflicts_with = "chroot")]
    sysctls: Vec<Sysctl>,
}

/// The limits of a cgroup. They can also be changed later.
#[derive(Debug, Args)]
pub(in crate::cli::container) struct LimitArgs {
    /// Limit memory, in bytes or with a unit, as in 512m
    #[arg(short, long, value_name = "SIZE", value_parser = bytes)]
    memory: Option<u64>,
    /// Limit memory and swap together; -1 is no limit [default: twice the memory]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true, value_parser = size_or_unlimited)]
    memory_swap: Option<Most>,
    /// Memory that the container keeps when the host's is short
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    memory_reservation: Option<u64>,
    /// Limit CPU time, as a number of CPUs such as 1.5
    #[arg(long, value_name = "NUMBER", value_parser = nano_cpus)]
    cpus: Option<u64>,
    /// The share of CPU time when containers compete; the usual share is 1024
    #[arg(short, long, value_name = "SHARES")]
    cpu_shares: Option<u64>,
    /// The length of a period for --cpu-quota, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Limit CPU time in each period, in microseconds; -1 is no limit
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true, value_parser = number_or_unlimited)]
    cpu_quota: Option<Most>,
    /// The CPUs that the container may use, as in 0-2,5
    #[arg(long, value_name = "CPUS", value_parser = list)]
    cpuset_cpus: Option<String>,
    /// The memory nodes that the container may use
    #[arg(long, value_name = "NODES", value_parser = list)]
    cpuset_mems: Option<String>,
    /// Limit the number of processes and threads; -1 is no limit
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = number_or_unlimited)]
    pids_limit: Option<Most>,
}

impl ResourceArgs {
    /// # Errors
    /// Limits contradict each other or this host.
    pub(in crate::cli::container) fn resources(&self) -> Result<Resources> {
        Ok(Resources {
            limits: self.limits.limits()?,
            cgroup_parent: self.cgroup_parent.clone(),
            ulimits: self.ulimits.clone(),
            oom_score_adj: self.oom_score_adj,
            sysctls: self.sysctls.clone(),
        })
    }
}

impl LimitArgs {
    /// # Errors
    /// As [`Limits::check`].
    pub(in crate::cli::container) fn limits(&self) -> Result<Limits> {
        let limits = self.unchecked();
        limits.check(sys::usable_cpus())?;
        Ok(limits)
    }

    /// The limits by themselves; those of the container may complete them.
    pub(in crate::cli::container) fn unchecked(&self) -> Limits {
        Limits {
            memory: self.memory,
            memory_swap: self.memory_swap,
            memory_reservation: self.memory_reservation,
            nano_cpus: self.cpus,
            cpu_shares: self.cpu_shares,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            pids: self.pids_limit,
        }
    }
}

fn size_or_unlimited(text: &str) -> Result<Most> {
    Ok(if text == "-1" { Most::Unlimited } else { Most::Of(bytes(text)?) })
}

/// As in docker, 0 is no limit too.
fn number_or_unlimited(text: &str) -> Result<Most> {
    match text.parse::<i64>()? {
        -1 | 0 => Ok(Most::Unlimited),
        number => Ok(Most::Of(number.try_into()?)),
    }
}

fn nano_cpus(text: &str) -> Result<u64> {
    let cpus: f64 = text.parse()?;
    // So many CPUs fit into the result, and no host has more.
    if !(0.0..1e9).contains(&cpus) {
        bail!("not a number of CPUs");
    }
    Ok((cpus * 1e9).round() as u64)
}

/// A list of numbers and ranges, as the kernel takes it. Which ones there are, the kernel knows.
fn list(text: &str) -> Result<String> {
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    let is_part = |part: &str| match part.split_once('-') {
        Some((first, last)) => is_number(first) && is_number(last),
        None => is_number(part),
    };
    if !text.split(',').all(is_part) {
        bail!("expected numbers and ranges, as in 0-2,5");
    }
    Ok(text.to_owned())
}
