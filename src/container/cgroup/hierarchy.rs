//! Finds the cgroup hierarchies of this host, and where this process or another is in each. Pure, but for [`Host::read`].
//!
//! Version 1 has one hierarchy for each controller or few of them; version 2 has one for all. A host may mount both
//! ("hybrid"): then a controller belongs to one of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The controllers of version 1 that a container uses. Version 2 freezes and limits devices without a controller, and
/// counts CPU time and block I/O under other names.
pub(super) const V1: [&str; 8] = ["blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"];

/// Which interface a hierarchy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) version: Version,
    /// Those of [`V1`] that it has. Empty for version 2, whose directories tell.
    pub(super) controllers: Vec<String>,
    pub(super) mount: PathBuf,
    /// Which cgroup the mount shows at its top, as paths in `/proc/PID/cgroup` name it.
    top: String,
}

/// A cgroup in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) hierarchy: Hierarchy,
    pub(super) dir: PathBuf,
}

/// All hierarchies of this host that a container can use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host(Vec<Hierarchy>);

impl Host {
    /// # Errors
    /// `/proc/self/mountinfo` cannot be read.
    pub(super) fn read() -> io::Result<Host> {
        Ok(Host::parse(&fs::read_to_string("/proc/self/mountinfo")?))
    }

    fn parse(mountinfo: &str) -> Host {
        let mut found: Vec<Hierarchy> = Vec::new();
        for hierarchy in mountinfo.lines().filter_map(hierarchy) {
            // A hierarchy can be mounted several times, for example in a container's tree.
            let known = |one: &Hierarchy| {
                one.version == hierarchy.version
                    && one.controllers == hierarchy.controllers
                    && one.top.len() <= hierarchy.top.len()
            };
            if !found.iter().any(known) {
                found.push(hierarchy);
            }
        }
        Host(found)
    }

    /// Where the process with this text of `/proc/PID/cgroup` is.
    pub(super) fn places(&self, cgroups: &str) -> Vec<Place> {
        cgroups.lines().filter_map(|line| self.place(line)).collect()
    }

    /// Reads a line `ID:CONTROLLERS:PATH`.
    fn place(&self, line: &str) -> Option<Place> {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_this = |one: &&Hierarchy| match one.version {
            Version::V2 => controllers.is_empty(),
            Version::V1 => controllers.split(',').any(|name| one.controllers.iter().any(|own| own == name)),
        };
        let hierarchy = self.0.iter().find(is_this)?.clone();
        let dir = hierarchy.dir(path)?;
        Some(Place { hierarchy, dir })
    }
}

impl Hierarchy {
    /// The directory of the cgroup `path`; `None` if the mount does not show it.
    pub(super) fn dir(&self, path: &str) -> Option<PathBuf> {
        let below = Path::new(path).strip_prefix(&self.top).ok()?;
        let is_plain = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        is_plain.then(|| if below.as_os_str().is_empty() { self.mount.clone() } else { self.mount.join(below) })
    }

    /// Whether a cgroup of version 1 in it has this controller.
    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|own| own == controller)
    }
}

/// Reads a line of `mountinfo`: `ID PARENT DEVICE TOP MOUNT OPTIONS [TAG]... - KIND SOURCE SUPER-OPTIONS`.
fn hierarchy(line: &str) -> Option<Hierarchy> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(3);
    let (top, mount) = (unescaped(fields.next()?), unescaped(fields.next()?));
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1)?);
    let (version, controllers) = match kind {
        "cgroup2" => (Version::V2, Vec::new()),
        "cgroup" => {
            let controllers: Vec<_> = options.split(',').filter(|name| V1.contains(name)).map(str::to_owned).collect();
            if controllers.is_empty() {
                return None;
            }
            (Version::V1, controllers)
        }
        _ => return None,
    };
    Some(Hierarchy { version, controllers, mount: mount.into(), top })
}

/// The kernel writes a space, a tab, a newline and a backslash as `\` and three octal digits.
fn unescaped(field: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(field.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
        24 22 0:21 / /proc rw - proc proc rw\n\
        30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
        32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
        34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
        35 30 0:28 /deep /srv/a\\040copy rw - cgroup cgroup rw,memory\n";

    fn dirs(mountinfo: &str, cgroups: &str) -> Vec<String> {
        Host::parse(mountinfo).places(cgroups).iter().map(|place| place.dir.display().to_string()).collect()
    }

    #[test]
    fn every_hierarchy_is_found_once_with_the_own_cgroup() {
        let cgroups = "4:memory:/user/a\n3:cpu,cpuacct:/\n2:name=systemd:/x\n1:hugetlb:/y\n0::/z:1\n";
        let expected = ["/sys/fs/cgroup/memory/user/a", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/unified/z:1"];
        assert_eq!(dirs(HYBRID, cgroups), expected);
    }

    #[test]
    fn a_cgroup_that_no_mount_shows_has_no_place() {
        let inside = "5 1 0:9 /outer /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(dirs(inside, "0::/outer/own"), ["/sys/fs/cgroup/own"]);
        for path in ["/", "/other", "/../x", "/outer/../x", ""] {
            assert!(dirs(inside, &format!("0::{path}")).is_empty(), "{path}");
        }
        assert!(dirs("", "0::/").is_empty());
        assert!(dirs("nonsense\n - \n1 2 - cgroup2\n", "nonsense\n0:\n0::/").is_empty());
    }

    #[test]
    fn spaces_in_a_path_are_read() {
        let host = Host::parse("35 30 0:28 / /srv/a\\040copy rw - cgroup cgroup rw,memory\n");
        assert_eq!(host.places("1:memory:/x")[0].dir, Path::new("/srv/a copy/x"));
    }
}
