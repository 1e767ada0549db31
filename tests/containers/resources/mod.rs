//! What a container may use: limits of its cgroup and of its processes, capabilities, groups and settings of the kernel.

mod devices;
mod left;
mod limits;
mod rights;
mod rootless;
mod running;
mod unified;

use crate::host::{Host, Started, root};
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

/// Kills the monitor of the only container that runs, which launched it. The kernel kills the container with it.
fn kill_monitor(host: &Host, mut started: Started) {
    let script = "kill -9 $(awk '/^PPid:/ { print $2 }' /proc/$1/status)";
    let running = host.overfuse().args(["ps", "-q"]).output().unwrap();
    let id = String::from_utf8(running.stdout).unwrap().trim().to_owned();
    let pid = host.overfuse().args(["inspect", "-f", "{{.State.Pid}}", &id]).output().unwrap();
    let pid = String::from_utf8(pid.stdout).unwrap().trim().to_owned();
    let killed = std::process::Command::new("sh").args(["-c", script, "sh", &pid]).status().unwrap();
    assert!(killed.success(), "{pid}");
    started.child.wait().unwrap();
}
