//! The machine on which a benchmark runs.

use std::fs;
use std::path::Path;
use std::thread;

use super::result::Machine;

/// Describes this machine, and the file system that holds `directory`.
pub(super) fn machine(directory: &Path) -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    Machine {
        kernel: read("/proc/sys/kernel/osrelease").trim().into(),
        cpu: value(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
        cpus: thread::available_parallelism().map_or(1, Into::into),
        memory: memory(&read("/proc/meminfo")).unwrap_or(0),
        directory: directory.display().to_string(),
        filesystem: filesystem(&read("/proc/self/mountinfo"), directory).unwrap_or_default(),
    }
}

fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim_start().strip_prefix(':')?.trim().into())
}

fn memory(text: &str) -> Option<u64> {
    let kilobytes = value(text, "MemTotal")?;
    Some(kilobytes.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The type of the file system that holds `path`: of the mount with the longest matching path, the last if several.
fn filesystem(mounts: &str, path: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        Some((Path::new(mount.split(' ').nth(4)?), filesystem.split(' ').next()?))
    });
    let holding = mounts.filter(|(at, _)| path.starts_with(at));
    holding.max_by_key(|(at, _)| at.components().count()).map(|(_, filesystem)| filesystem.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_system_is_read_from_mountinfo() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/x rw\n2 1 0:2 / /tmp rw shared:1 - tmpfs tmpfs rw\n\
                      3 1 8:1 / /tmp rw - xfs /dev/y rw\n";
        for (path, expected) in [("/", "ext4"), ("/tmp/a/b", "xfs"), ("/tmpx", "ext4")] {
            assert_eq!(filesystem(mounts, Path::new(path)).as_deref(), Some(expected), "{path}");
        }
        assert_eq!(memory("MemTotal:       1024 kB\nMemFree: 1 kB\n"), Some(1 << 20));
        assert_eq!(value("processor\t: 0\nmodel name\t: A B\n", "model name").as_deref(), Some("A B"));
        assert_eq!(memory(""), None);
    }
}
