//! Cgroups that are left behind.

use std::thread;
use std::time::Duration;

use super::{cgroups_of, kill_monitor, with_cgroups};
use crate::host::Host;

fn id(host: &Host) -> String {
    let listed = host.overfuse().args(["ps", "-a", "-q", "--no-trunc"]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap().trim().to_owned()
}

/// Runs containers until one of them has removed the cgroups. Other tests may be at it at the same time.
fn assert_swept(host: &Host, id: &str) {
    for _ in 0..20 {
        host.prints(&[], "true");
        if cgroups_of(id).is_empty() {
            return;
        }
    }
    panic!("still there: {:?}", cgroups_of(id));
}

#[test]
fn a_container_has_a_cgroup_while_it_runs() {
    let Some(host) = with_cgroups() else { return };
    let started = host.start(&["--init"], "echo ready; sleep 60");
    let id = id(&host);
    assert!(!cgroups_of(&id).is_empty());
    let mut started = started;
    assert!(host.overfuse().args(["stop", "-t", "0", &id]).status().unwrap().success());
    started.child.wait().unwrap();
    assert_eq!(cgroups_of(&id), [] as [std::path::PathBuf; 0]);
}

#[test]
fn the_cgroup_of_a_killed_launcher_is_removed_by_the_next_one() {
    let Some(host) = with_cgroups() else { return };
    let started = host.start(&[], "echo ready; sleep 60");
    let id = id(&host);
    kill_monitor(&host, started);
    assert_ne!(cgroups_of(&id), [] as [std::path::PathBuf; 0]);
    assert_swept(&host, &id);
}

#[test]
fn a_frozen_container_whose_launcher_was_killed_goes_too() {
    let Some(host) = with_cgroups() else { return };
    let started = host.start(&[], "echo ready; sleep 60");
    let id = id(&host);
    host.shell(&format!(
        "for file in $(find /sys/fs/cgroup -path '*/overfuse-{id}/freezer.state'); do echo FROZEN > $file; done
         for file in $(find /sys/fs/cgroup -path '*/overfuse-{id}/cgroup.freeze'); do echo 1 > $file; done"
    ));
    kill_monitor(&host, started);
    assert_swept(&host, &id);
}

#[test]
fn the_cgroup_of_a_running_container_is_left_alone() {
    let Some(host) = with_cgroups() else { return };
    let started = host.start(&[], "echo ready; sleep 60");
    let id = id(&host);
    let before = cgroups_of(&id);
    for _ in 0..3 {
        host.prints(&[], "true");
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(cgroups_of(&id), before);
    kill_monitor(&host, started);
    host.prints(&[], "true");
}

#[test]
fn processes_that_outlive_the_command_are_killed() {
    let Some(host) = with_cgroups() else { return };
    // Without a PID namespace, nothing but the cgroup holds them together.
    host.prints(&["--chroot"], "sleep 4321 & echo started");
    let left = host.shell("pgrep -f '^sleep 4321$' || :");
    assert_eq!(left, "");
}
