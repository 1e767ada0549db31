//! Commands about containers that run: pause, unpause, update, stats.

use std::process::Output;

use super::{cgroups_of, with_cgroups};
use crate::host::{Host, hosts};
use crate::image::NAME;

/// A container in the background, removed at the end.
struct Running<'a> {
    host: &'a Host,
    name: &'static str,
}

impl<'a> Running<'a> {
    fn new(host: &'a Host, name: &'static str, flags: &[&str], script: &str) -> Running<'a> {
        let mut run = host.overfuse();
        run.args(["run", "-d", "--name", name]).args(flags).args([NAME, "-c", script]);
        let output = run.output().unwrap();
        assert!(output.status.success(), "{host}: {output:?}");
        Running { host, name }
    }

    fn overfuse(&self, arguments: &str) -> Output {
        self.host.overfuse().args(arguments.split(' ')).output().unwrap()
    }

    /// The output of a command, which must succeed.
    fn does(&self, arguments: &str) -> String {
        let output = self.overfuse(arguments);
        assert!(output.status.success(), "{}: {arguments}: {output:?}", self.host);
        String::from_utf8(output.stdout).unwrap()
    }

    fn refuses(&self, arguments: &str) -> String {
        let output = self.overfuse(arguments);
        assert!(!output.status.success(), "{}: {arguments}", self.host);
        String::from_utf8(output.stderr).unwrap()
    }

    fn inspected(&self, pointer: &str) -> serde_json::Value {
        let text = self.does(&format!("inspect {}", self.name));
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        all.pointer(&format!("/0{pointer}")).cloned().unwrap_or_default()
    }

    /// The content of a file of the cgroup, of the one hierarchy that has it.
    fn limit(&self, files: &[&str]) -> String {
        let id = self.inspected("/Id").as_str().unwrap().to_owned();
        let dirs = cgroups_of(&id);
        let mut found = dirs.iter().flat_map(|dir| files.iter().map(|file| dir.join(file)));
        let file = found.find(|file| file.exists()).unwrap();
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.overfuse(&format!("rm -f {}", self.name));
    }
}

/// A script that counts in the file `/count`, forever.
const COUNTS: &str = "i=0; while :; do i=$((i+1)); echo $i > /count; done";

#[test]
fn a_paused_container_stands_still_until_it_goes_on() {
    let Some(host) = with_cgroups() else { return };
    let counter = Running::new(&host, "counter", &[], COUNTS);
    let count = || {
        let upper = counter.inspected("/GraphDriver/Data/UpperDir").as_str().unwrap().to_owned();
        std::fs::read_to_string(format!("{upper}/count")).unwrap_or_default()
    };
    let changes = |from: String| {
        for _ in 0..500 {
            let now = count();
            if !now.is_empty() && now != from {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        false
    };
    assert!(changes(String::new()));
    assert!(counter.refuses("unpause counter").contains("container counter is not paused"));

    assert_eq!(counter.does("pause counter"), "counter\n");
    let before = count();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(count(), before);
    assert_eq!(counter.inspected("/State/Status"), "paused");
    assert_eq!(counter.inspected("/State/Paused"), true);
    assert!(counter.does("ps").contains("(Paused)"));
    assert!(counter.refuses("pause counter").contains("container counter is already paused"));

    assert_eq!(counter.does("unpause counter"), "counter\n");
    assert!(changes(before));
    assert_eq!(counter.inspected("/State/Status"), "running");
}

#[test]
fn a_paused_container_can_be_killed_and_removed() {
    let Some(host) = with_cgroups() else { return };
    let paused = Running::new(&host, "paused", &[], "sleep 600");
    paused.does("pause paused");
    paused.does("kill paused");
    assert_eq!(paused.does("wait paused"), "137\n");
    paused.does("start paused");
    paused.does("pause paused");
    paused.does("rm -f paused");
}

#[test]
fn what_does_not_run_is_not_paused() {
    for host in hosts() {
        let ended = Running::new(&host, "ended", &[], "true");
        ended.does("wait ended");
        for command in ["pause", "unpause"] {
            assert_eq!(
                ended.refuses(&format!("{command} ended")),
                "overfuse: container ended is not running\n",
                "{host}"
            );
        }
    }
}

#[test]
fn without_a_cgroup_nothing_is_paused_or_counted() {
    for host in hosts().iter().filter(|host| !host.limits_devices()) {
        let running = Running::new(host, "running", &[], "sleep 600");
        let said = running.refuses("pause running");
        assert!(said.contains("the container runs without a cgroup that can do this"), "{host}: {said}");
        assert_eq!(said.lines().count(), 1, "{host}: {said}");
        let said = running.refuses("stats --no-stream running");
        assert!(said.contains("the container runs without a cgroup that can do this"), "{host}: {said}");
        let said = running.refuses("update -m 32m running");
        assert!(said.contains("the container runs without a cgroup that can do this"), "{host}: {said}");
    }
}

#[test]
fn limits_change_while_a_container_runs_and_stay_changed() {
    let Some(host) = with_cgroups() else { return };
    let box_ = Running::new(&host, "limited", &["-m", "32m", "--pids-limit", "50"], "sleep 600");
    let memory = || box_.limit(&["memory.limit_in_bytes", "memory.max"]);
    let pids = || box_.limit(&["pids.max"]);
    assert_eq!((memory(), pids()), ("33554432".into(), "50".into()));
    // Up, above the old limit of memory and swap together, and down again.
    for (size, bytes) in [("128m", "134217728"), ("16m", "16777216"), ("64m", "67108864")] {
        assert_eq!(box_.does(&format!("update --memory {size} limited")), "limited\n");
        assert_eq!((memory(), pids()), (bytes.into(), "50".into()));
    }
    box_.does("update --pids-limit -1 --cpuset-cpus 0 --cpu-shares 512 limited");
    assert_eq!(pids(), "max");
    assert_eq!(box_.limit(&["cpuset.cpus"]), "0");
    box_.does("update --cpu-period 50000 --cpu-quota 20000 limited");
    box_.does("update --cpus 0.5 limited");
    assert!(["50000", "50000 100000"].contains(&box_.limit(&["cpu.cfs_quota_us", "cpu.max"]).as_str()));

    box_.does("stop -t 0 limited");
    box_.does("update --memory 48m limited");
    box_.does("start limited");
    assert_eq!((memory(), pids()), ("50331648".into(), "max".into()));

    assert!(box_.refuses("update limited").contains("nothing to change"));
    assert_eq!(box_.refuses("update -m 1m limited"), "overfuse: --memory is at least 6m\n");
    assert!(box_.refuses("update -m 32m gone").contains("no container"));
    assert_eq!(memory(), "50331648");
}

#[test]
fn the_restart_policy_changes() {
    for host in hosts() {
        let ended = Running::new(&host, "ended", &[], "sleep 0.1; exit 3");
        ended.does("wait ended");
        ended.does("update --restart on-failure:2 ended");
        ended.does("start ended");
        ended.does("wait ended");
        let settings = std::fs::read_to_string(
            host.path("store/containers").join(ended.inspected("/Id").as_str().unwrap()).join("settings.json"),
        );
        assert!(settings.unwrap().contains("on-failure:2"), "{host}");
    }
}

#[test]
fn what_containers_use_is_shown() {
    let Some(host) = with_cgroups() else { return };
    let busy = Running::new(&host, "busy", &["-m", "64m", "--network", "none"], "while :; do :; done");
    let said = busy.does("stats --no-stream --format json");
    let row: serde_json::Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(row["Name"], "busy");
    assert_eq!(row["PIDs"], "1");
    assert!(row["MemUsage"].as_str().unwrap().ends_with(" / 64MiB"), "{row}");
    let number = |key: &str| row[key].as_str().unwrap().trim_end_matches('%').parse::<f64>().unwrap();
    assert!(number("CPUPerc") > 0.0 && number("MemPerc") > 0.0, "{row}");
    assert_eq!(row["NetIO"], "0B / 0B");

    let table = busy.does("stats --no-stream busy");
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("CONTAINER ID   NAME") && lines[0].ends_with("PIDS"), "{table}");
    assert_eq!(lines.len(), 2, "{table}");
    busy.does("stop -t 0 busy");
    assert_eq!(busy.does("stats --no-stream --format json"), "");
    assert_eq!(busy.does("stats --no-stream -a --format json").lines().count(), 1);
    assert!(busy.refuses("stats --no-stream gone").contains("no container"));
}
