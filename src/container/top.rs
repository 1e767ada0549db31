//! The processes of a running container, as the host numbers them.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;

use super::enter::{EnterError, Inside};
use super::settings::Settings;
use super::state::State;
use crate::store::Container;

/// The numbers of the container's processes, in ascending order.
///
/// These are all in its PID namespace, and the descendants of its first process, which may have namespaces of their own.
///
/// # Errors
/// As for a command that is to be run in the container.
pub fn processes(container: &Container) -> Result<Vec<u32>, EnterError> {
    let settings = Settings::of(container)?;
    let inside = Inside::of(container, &settings)?;
    let first = State::of(container)?.process.map(|process| process.pid);
    let all = parents();
    // A container that has only another root directory shares its PID namespace with the host.
    let shared = |pid: u32| fs::read_link(link(pid, if settings.chroot { "root" } else { "ns/pid" })).ok();
    let own = shared(inside.place().pid());
    let mut found: BTreeSet<u32> = all.keys().copied().filter(|pid| own.is_some() && shared(*pid) == own).collect();
    found.extend(first);
    loop {
        let more: Vec<u32> = all
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            return Ok(found.into_iter().collect());
        }
        found.extend(more);
    }
}

fn link(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// The parent of each process of this host.
fn parents() -> HashMap<u32, u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(link(pid, "stat")).ok()?;
        // The name before the last `)` may hold any bytes.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent))
    })
    .collect()
}
