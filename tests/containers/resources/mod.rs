//! What a container may use: limits of its cgroup and of its processes, capabilities, groups and settings of the kernel.

mod devices;
mod left;
mod limits;
mod rights;
mod rootless;
mod running;
mod unified;

use crate::host::{Host, root};
use crate::support::need;

/// Root, where cgroups can be made.
fn with_cgroups() -> Option<Host> {
    if need::all(&["root", "cgroups"]) { root() } else { None }
}

/// The directories of cgroups whose name begins with `overfuse-` and that hold the container with this ID.
fn cgroups_of(id: &str) -> Vec<std::path::PathBuf> {
    let find = std::process::Command::new("find").args(["/sys/fs/cgroup", "-name", &format!("overfuse-{id}")]).output();
    let found = String::from_utf8(find.unwrap().stdout).unwrap();
    found.lines().map(std::path::PathBuf::from).collect()
}
