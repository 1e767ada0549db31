//! The limits of a container, as an OCI runtime's configuration has them.

use std::collections::HashMap;

use oci_spec::runtime::{
    LinuxCpu, LinuxMemory, LinuxPids, LinuxResources, PosixRlimitBuilder, PosixRlimitType, Process,
};
use serde_json::json;

use super::super::cgroup::{Limits, Most};
use super::super::resources::Resources;
use super::BundleError;

type Result<T> = std::result::Result<T, BundleError>;

/// Microseconds; the kernel's own default.
const PERIOD: u64 = 100_000;

/// The limits of the process and its score for the killer of processes.
pub(super) fn of_process(resources: &Resources, process: &mut Process) -> Result<()> {
    let Resources { limits: _, cgroup_parent, ulimits, oom_score_adj, sysctls: _ } = resources;
    if cgroup_parent.is_some() {
        return Err(BundleError::Option("--cgroup-parent"));
    }
    let mut all = Vec::new();
    for ulimit in ulimits {
        let kind = json!(format!("RLIMIT_{}", ulimit.name.to_ascii_uppercase()));
        let kind: PosixRlimitType =
            serde_json::from_value(kind).map_err(|_| BundleError::Option("--ulimit of this name"))?;
        let number = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
        all.push(PosixRlimitBuilder::default().typ(kind).soft(number(ulimit.soft)).hard(number(ulimit.hard)).build()?);
    }
    process.set_rlimits((!all.is_empty()).then_some(all)).set_oom_score_adj(*oom_score_adj);
    Ok(())
}

/// The kernel's settings in the container's namespaces.
pub(super) fn sysctls(resources: &Resources) -> Option<HashMap<String, String>> {
    let all: HashMap<_, _> = resources.sysctls.iter().map(|one| (one.name.clone(), one.value.clone())).collect();
    (!all.is_empty()).then_some(all)
}

/// The limits of the container's cgroup.
pub(super) fn of_cgroup(resources: &Resources, to: &mut LinuxResources) {
    let Limits {
        memory,
        memory_swap,
        memory_reservation,
        nano_cpus,
        cpu_shares,
        cpu_period,
        cpu_quota,
        cpuset_cpus,
        cpuset_mems,
        pids,
    } = &resources.limits;
    if [memory, memory_reservation].iter().any(|limit| limit.is_some()) || memory_swap.is_some() {
        let mut of_memory = LinuxMemory::default();
        of_memory
            .set_limit(memory.map(signed))
            .set_swap(memory_swap.as_ref().map(most))
            .set_reservation(memory_reservation.map(signed));
        to.set_memory(Some(of_memory));
    }
    let mut cpu = LinuxCpu::default();
    let (period, quota) = match nano_cpus {
        Some(billionths) => (Some(PERIOD), Some(signed(billionths * PERIOD / 1_000_000_000))),
        None => (*cpu_period, cpu_quota.as_ref().map(most)),
    };
    cpu.set_shares(*cpu_shares).set_period(period).set_quota(quota);
    cpu.set_cpus(cpuset_cpus.clone()).set_mems(cpuset_mems.clone());
    if cpu != LinuxCpu::default() {
        to.set_cpu(Some(cpu));
    }
    if let Some(limit) = pids {
        let mut of_processes = LinuxPids::default();
        of_processes.set_limit(most(limit));
        to.set_pids(Some(of_processes));
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// No limit is -1.
fn most(limit: &Most) -> i64 {
    match limit {
        Most::Unlimited => -1,
        Most::Of(number) => signed(*number),
    }
}
