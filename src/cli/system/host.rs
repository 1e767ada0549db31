//! What this host is: its kernel, its memory, its cgroups, and the programs that overfuse can use.

use std::fs;
use std::path::{Path, PathBuf};

use crate::image::Platform;

/// The programs that overfuse uses where they are there, and what for.
pub(super) const PROGRAMS: &[(&str, &str)] = &[
    ("newuidmap", "containers of users with subordinate ids"),
    ("newgidmap", "containers of users with subordinate ids"),
    ("fusermount3", "mounts of users outside of a namespace"),
    ("pasta", "private networks"),
    ("slirp4netns", "private networks without pasta"),
    ("runc", "run --runtime runc"),
    ("crun", "run --runtime crun"),
];

/// The path of a program.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

fn line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The kernel's release.
pub(super) fn kernel() -> String {
    line("/proc/sys/kernel/osrelease")
}

pub(super) fn name() -> String {
    line("/proc/sys/kernel/hostname")
}

/// The operating system and the architecture, as images name them.
pub(super) fn platform() -> (String, String) {
    let Platform { os, architecture, .. } = Platform::host();
    (os, architecture)
}

/// The distribution, as it calls itself.
pub(super) fn distribution() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "unknown".into(), |name| name.trim_matches('"').to_owned())
}

/// Bytes of memory; 0 if it is unknown.
pub(super) fn memory() -> u64 {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes.saturating_mul(1024))
}

/// The version of the cgroups: `2`, `1`, or nothing where they are not mounted.
pub(super) fn cgroups() -> &'static str {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        "2"
    } else if root.join("memory").is_dir() || root.join("pids").is_dir() || root.join("cpu").is_dir() {
        "1"
    } else {
        ""
    }
}

/// Whether this process can open the device for FUSE.
pub(super) fn has_fuse() -> bool {
    fs::File::options().read(true).write(true).open("/dev/fuse").is_ok()
}
