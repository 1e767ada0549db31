//! What `inspect` shows of a container's limits and rights, as fields of docker's `HostConfig`.

use serde_json::{Map, Value, json};

use crate::container::{Most, Settings};

/// Docker has 0 for "not set", and -1 for "no limit".
pub(super) fn facts(settings: &Settings) -> Map<String, Value> {
    let (resources, security) = (&settings.resources, &settings.security);
    let limits = &resources.limits;
    let signed = |most: Option<Most>| match most {
        None => json!(0),
        Some(Most::Unlimited) => json!(-1),
        Some(Most::Of(number)) => json!(number),
    };
    let texts = |list: Vec<String>| if list.is_empty() { Value::Null } else { list.into() };
    let ulimit = |number: Option<u64>| number.map_or(json!(-1), Value::from);
    let ulimits = resources
        .ulimits
        .iter()
        .map(|one| json!({ "Name": one.name, "Soft": ulimit(one.soft), "Hard": ulimit(one.hard) }));
    let sysctls = resources.sysctls.iter().map(|one| (one.name.clone(), one.value.as_str().into()));
    let fields = json!({
        "CapAdd": texts(security.cap_add.iter().map(ToString::to_string).collect()),
        "CapDrop": texts(security.cap_drop.iter().map(ToString::to_string).collect()),
        "CgroupParent": resources.cgroup_parent.clone().unwrap_or_default(),
        "CgroupnsMode": if settings.chroot { "host" } else { "private" },
        "CpuPeriod": limits.cpu_period.unwrap_or(0),
        "CpuQuota": signed(limits.cpu_quota),
        "CpuShares": limits.cpu_shares.unwrap_or(0),
        "CpusetCpus": limits.cpuset_cpus.clone().unwrap_or_default(),
        "CpusetMems": limits.cpuset_mems.clone().unwrap_or_default(),
        "DeviceCgroupRules": texts(security.device_rules.iter().map(ToString::to_string).collect()),
        "GroupAdd": texts(security.group_add.clone()),
        "Memory": limits.memory.unwrap_or(0),
        "MemoryReservation": limits.memory_reservation.unwrap_or(0),
        "MemorySwap": signed(limits.swap_limit()),
        "NanoCpus": limits.nano_cpus.unwrap_or(0),
        "OomScoreAdj": resources.oom_score_adj.unwrap_or(0),
        "PidsLimit": limits.pids.map_or(Value::Null, |pids| signed(Some(pids))),
        "Sysctls": sysctls.collect::<Map<_, _>>(),
        "Ulimits": ulimits.collect::<Vec<_>>(),
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
