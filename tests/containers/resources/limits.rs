//! Limits of a container's cgroup.

use super::{kill_monitor, with_cgroups};

#[test]
fn a_container_that_uses_too_much_memory_is_killed() {
    let Some(host) = with_cgroups() else { return };
    let script = "x=aaaaaaaaaaaaaaaaaaaaaaaa; while :; do x=$x$x; done";
    for flags in [&["-m", "16m"][..], &["--memory=16777216b", "--memory-swap", "16m"], &["-m16m", "--init"]] {
        let output = host.run(flags, &["-c", script]);
        assert_eq!(output.status.code(), Some(137), "{flags:?}: {output:?}");
    }
    let mut kept = host.overfuse();
    kept.args(["run", "--name", "hog", "-m", "16m", crate::image::NAME, "-c", script]);
    assert_eq!(kept.status().unwrap().code(), Some(137));
    let inspected = host.overfuse().args(["inspect", "hog"]).output().unwrap();
    let inspected: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected[0]["State"]["OOMKilled"], true);
    assert_eq!(host.prints(&["-m", "64m"], "echo enough"), "enough");
}

#[test]
fn a_fork_bomb_is_stopped() {
    let Some(host) = with_cgroups() else { return };
    let bomb = "b() { b | b & }; b; sleep 1; echo over";
    let output = host.run(&["--pids-limit", "30"], &["-c", bomb]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("Resource temporarily unavailable"), "{output:?}");
    assert_eq!(host.prints(&["--pids-limit=-1"], "for i in 1 2 3; do sleep 0 & done; wait; echo free"), "free");
}

#[test]
fn a_container_sees_its_cpus() {
    let Some(host) = with_cgroups() else { return };
    let printed = host.prints(&["--cpuset-cpus", "0"], "grep Cpus_allowed_list /proc/self/status; busybox nproc");
    assert_eq!(printed, "Cpus_allowed_list:\t0\n1");
}

#[test]
fn cpu_time_is_limited() {
    let Some(host) = with_cgroups() else { return };
    // Busy until the cgroup has been throttled: with half a CPU that is after the first tenth of a second.
    let name = "throttled";
    let mut run = host.overfuse();
    run.args(["run", "--name", name, "--cpus", "0.1", crate::image::NAME, "-c", "while :; do :; done"]);
    let mut child = run.spawn().unwrap();
    let throttled = || {
        let found =
            host.shell("find /sys/fs/cgroup -path '*/overfuse-*' -name cpu.stat -exec cat {} + 2>/dev/null || :");
        found.lines().any(|line| line.strip_prefix("nr_throttled ").is_some_and(|count| count != "0"))
    };
    while !throttled() {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn limits_that_cannot_be_are_refused_in_one_line() {
    let Some(host) = with_cgroups() else { return };
    for (flags, said) in [
        (&["-m", "1m"][..], "--memory is at least 6m"),
        (&["--memory-swap", "20m"], "--memory-swap is memory and swap together: give --memory too"),
        (&["-m", "20m", "--memory-swap", "10m"], "--memory-swap is memory and swap together: it is at least --memory"),
        (&["--cpus", "1", "--cpu-quota", "5000"], "--cpus is another form of --cpu-period and --cpu-quota"),
        (&["--cpus", "9999"], "--cpus is from 0.01 to "),
        (&["--cpu-shares", "1"], "--cpu-shares is from 2 to 262144"),
        (&["--cpuset-cpus", "4000"], "--cpuset-cpus: \"4000\" is refused by "),
        (&["--cgroup-parent", "../x"], "--cgroup-parent \"../x\" is not the path of a cgroup"),
    ] {
        let line = host.refuses(flags);
        assert!(line.starts_with(&format!("overfuse: {said}")) && line.lines().count() == 1, "{flags:?}: {line}");
    }
    for flags in
        [["-m", "lots"], ["--pids-limit", "x"], ["--cpuset-cpus", "one"], ["--cpus", "some"], ["--blkio-weight", "5"]]
    {
        let output = host.run(&flags, &["-c", "true"]);
        assert_eq!(output.status.code(), Some(125), "{flags:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(flags[0]), "{flags:?}: {output:?}");
    }
}

#[test]
fn the_cgroup_is_made_below_the_parent_that_is_asked_for() {
    let Some(host) = with_cgroups() else { return };
    let started = host.start(&["--cgroup-parent", "overfuse-test-parent/deep", "-m", "32m"], "echo ready; sleep 60");
    let found = host.shell("find /sys/fs/cgroup -path '*/overfuse-test-parent/deep/overfuse-*' -name '*limit_in_bytes' -o -path '*/overfuse-test-parent/deep/overfuse-*' -name memory.max 2>/dev/null || :");
    assert_ne!(found, "");
    kill_monitor(&host, started);
    assert_eq!(host.prints(&["--cgroup-parent", "overfuse-test-parent/deep"], "echo swept"), "swept");
    // The launcher that was killed made these, and the next one did not remove what it did not make.
    host.shell("find /sys/fs/cgroup -depth -path '*/overfuse-test-parent*' -type d -exec rmdir {} + 2>/dev/null || :");
}
