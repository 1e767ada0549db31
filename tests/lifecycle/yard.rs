//! What the tests of this directory do with a host: whole commands, and looks at containers.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::host::Host;
use crate::image;

/// What a command said, and its exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Said { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Waits for something that is about to happen.
#[track_caller]
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        sleep(Duration::from_millis(10));
    }
}

impl Host {
    /// Runs a command of overfuse to its end.
    pub(crate) fn says(&self, args: &[&str]) -> Said {
        self.overfuse().args(args).output().unwrap().into()
    }

    /// The output of a command that must succeed.
    #[track_caller]
    pub(crate) fn does(&self, args: &[&str]) -> String {
        let said = self.says(args);
        assert_eq!(said.code, 0, "{self}: {args:?}: {}", said.err);
        said.out
    }

    /// Runs a script in the background, in a container called `name`. Returns the container's ID.
    #[track_caller]
    pub(crate) fn background(&self, name: &str, flags: &[&str], script: &str) -> String {
        let args = [&["run", "-d", "--name", name], flags, &[image::NAME, "-c", script]].concat();
        self.does(&args)
    }

    /// Status and exit code, as `inspect` tells them.
    pub(crate) fn state(&self, name: &str) -> (String, u64) {
        let inspected: serde_json::Value = serde_json::from_str(&self.does(&["inspect", name])).unwrap();
        let state = &inspected[0]["State"];
        (state["Status"].as_str().unwrap().to_owned(), state["ExitCode"].as_u64().unwrap())
    }

    #[track_caller]
    pub(crate) fn assert_state(&self, name: &str, status: &str, exit_code: u64) {
        assert_eq!(self.state(name), (status.to_owned(), exit_code), "{self}: {name}");
    }

    /// Waits until the log of a container contains `text`.
    #[track_caller]
    pub(crate) fn until_logged(&self, name: &str, text: &str) {
        until(&format!("{self}: {name} prints {text:?}"), || self.says(&["logs", name]).out.contains(text));
    }

    /// The directory of a container with this name.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let entries = fs::read_dir(self.path("store/containers")).unwrap().map(|entry| entry.unwrap().path());
        let named = |dir: &PathBuf| {
            let config = fs::read_to_string(dir.join("config.json")).unwrap_or_default();
            serde_json::from_str::<serde_json::Value>(&config).is_ok_and(|config| config["name"] == name)
        };
        entries.into_iter().find(named).unwrap()
    }

    /// The container's first process, as the host numbers it.
    pub(crate) fn first_process(&self, name: &str) -> Pid {
        let state = fs::read_to_string(self.directory(name).join("state.json")).unwrap();
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        Pid::from_raw(i32::try_from(state["process"]["pid"].as_i64().unwrap()).unwrap()).unwrap()
    }

    /// The monitor: the parent of the first process.
    pub(crate) fn monitor_of(&self, name: &str) -> Pid {
        let first = self.first_process(name).as_raw_nonzero();
        let stat = fs::read_to_string(format!("/proc/{first}/stat")).unwrap();
        let (_, after_name) = stat.rsplit_once(") ").unwrap();
        Pid::from_raw(after_name.split(' ').nth(1).unwrap().parse().unwrap()).unwrap()
    }

    /// Kills a process, and waits until it is gone.
    pub(crate) fn kill_hard(&self, pid: Pid) {
        kill_process(pid, Signal::KILL).unwrap();
        until("a killed process is gone", || !is_alive(pid));
    }

    /// Asserts that no process that this host's program runs is left, and that the store has no mount.
    #[track_caller]
    pub(crate) fn assert_quiet(&self) {
        let store = self.path("store").to_str().unwrap().to_owned();
        until(&format!("{self}: no process is left"), || {
            let entries = fs::read_dir("/proc").unwrap();
            let lines = entries.filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
            lines.filter(|line| String::from_utf8_lossy(line).contains(&store)).count() == 0
        });
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&store), "{self}: {mounts}");
    }
}

/// Whether the process exists and is no zombie.
pub(crate) fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
