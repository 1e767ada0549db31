//! A container leaves nothing behind on the host, however it ends.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::host::{Host, hosts, root};

/// The number of processes with `marker` among their arguments.
fn processes(marker: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap();
    let lines = entries.filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines.filter(|line| line.windows(marker.len()).any(|window| window == marker.as_bytes())).count()
}

fn mounts_below(dir: &Path) -> usize {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.contains(dir.to_str().unwrap())).count()
}

fn assert_nothing_left(host: &Host, marker: &str) {
    let until = Instant::now() + Duration::from_secs(10);
    while processes(marker) > 0 && Instant::now() < until {
        sleep(Duration::from_millis(20));
    }
    assert_eq!(processes(marker), 0, "{host}: processes are left");
    assert_eq!(mounts_below(&host.path("store")), 0, "{host}: mounts are left");
}

#[test]
fn a_run_leaves_no_process_and_no_mount_and_with_rm_no_container() {
    for host in hosts() {
        let chroot: &[&[&str]] = if host.is_root() { &[&["--chroot"]] } else { &[] };
        for flags in [&[&[][..], &["--init"], &["--network", "none"]], chroot].concat() {
            let marker = format!("marker-{}-{}", std::process::id(), flags.concat());
            host.prints(flags, &format!(": {marker}; sleep 0"));
            assert_nothing_left(&host, &marker);
            assert_eq!(host.containers(), 0, "{host}: {flags:?}");
        }
    }
}

#[test]
fn a_container_does_not_outlive_its_monitor() {
    for host in hosts() {
        for flags in [&[][..], &["--init"]] {
            let marker = format!("orphan-{}-{host}-{}", std::process::id(), flags.concat());
            let mut started = host.start(flags, &format!(": {marker}; echo ready; sleep 600; true"));
            assert!(processes(&marker) > 0);
            rustix::process::kill_process(host.monitor(), Signal::KILL).unwrap();
            started.child.wait().unwrap();
            assert_nothing_left(&host, &marker);
        }
    }
}

#[test]
fn mounts_of_a_running_container_are_not_seen_outside() {
    for host in hosts() {
        let mut started = host.start(&[], "echo ready; sleep 0.5");
        assert_eq!(mounts_below(&host.path("store")), 0, "{host}");
        started.child.wait().unwrap();
    }
}

#[test]
fn a_container_that_is_not_removed_can_be_found_by_its_name_with_its_status() {
    let Some(host) = root() else { return };
    let status = host.overfuse().args(["run", "--name", "lasting", "tiny", "-c", "exit 3"]).status().unwrap();
    assert_eq!(status.code(), Some(3));
    let listed = host.overfuse().args(["ps", "-a"]).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout);
    assert!(listed.contains("lasting") && listed.contains("Exited (3)"), "{listed}");
    let again = host.overfuse().args(["run", "--name", "lasting", "tiny", "-c", "exit 3"]).status().unwrap();
    assert_eq!(again.code(), Some(125));
}

#[test]
fn two_containers_of_one_image_run_at_once() {
    for host in hosts() {
        let mut one = host.start(&[], "echo one > /who; echo ready; sleep 0.5; cat /who");
        assert_eq!(host.prints(&[], "echo two > /who; cat /who"), "two", "{host}");
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut one.output, &mut rest).unwrap();
        assert_eq!(rest, "one\n", "{host}");
        one.child.wait().unwrap();
    }
}
