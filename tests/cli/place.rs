//! A scratch directory with layers and a mount point, and helpers for tests.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{self, scratch};

/// A place with a lower directory, room for an upper, and a mount point.
pub(super) struct Place(TempDir);

impl Place {
    pub(super) fn new() -> Place {
        let dir = scratch();
        for name in ["lower", "upper", "work", "at"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("lower/file"), "below").unwrap();
        Place(dir)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs a program here; returns its exit status and its standard error.
    pub(super) fn run(&self, program: &str, args: &str) -> (i32, String) {
        let mut command = if program == "overfuse" { support::subject::overfuse() } else { Command::new(program) };
        let Output { status, stderr, .. } =
            command.args(args.split_whitespace()).current_dir(self.path()).output().unwrap();
        (status.code().unwrap_or(-1), String::from_utf8_lossy(&stderr).trim().to_owned())
    }

    pub(super) fn overfuse(&self, args: &str) -> (i32, String) {
        self.run("overfuse", args)
    }

    /// Runs a command of Overfuse that must succeed; returns its output.
    pub(super) fn printed(&self, args: &str) -> String {
        let output =
            support::subject::overfuse().args(args.split_whitespace()).current_dir(self.path()).output().unwrap();
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    pub(super) fn is_mounted(&self) -> bool {
        let at = self.path().join("at");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts.lines().any(|line| line.split(' ').nth(4) == at.to_str())
    }

    /// The processes that have this directory in their arguments or as their current directory.
    pub(super) fn processes(&self) -> Vec<u32> {
        let numbers =
            std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        numbers
            .filter(|&pid: &u32| pid != std::process::id())
            .filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == self.path()))
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_mounted() {
            self.run("umount", "-l at");
        }
    }
}

/// Waits until `what` is true, up to ten seconds: for instance, a process ends a moment after its mount.
#[track_caller]
pub(super) fn eventually(what: impl Fn() -> bool) {
    let started = Instant::now();
    while !what() {
        assert!(started.elapsed() < Duration::from_secs(10), "did not come true in ten seconds");
        std::thread::sleep(Duration::from_millis(5));
    }
}
