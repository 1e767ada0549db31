//! Puts a process into the cgroups of a container, so that the container's limits apply to it too.
//!
//! Works with cgroup v1, v2 and both at once: it reads which cgroup of which hierarchy the container's process is in, and
//! where the hierarchies are mounted.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::sys::Errno;

/// A hierarchy, and the cgroup of a process in it: a line of `/proc/PID/cgroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Membership {
    /// The controllers of a v1 hierarchy; empty for v2.
    controllers: String,
    cgroup: PathBuf,
}

/// A mounted hierarchy: a line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mounted {
    at: PathBuf,
    /// The cgroup at the root of the mount.
    root: PathBuf,
    /// `None` for v2.
    options: Option<String>,
}

/// Moves this process into the cgroups of the process `pid`, as far as they differ from its own. To be called while this
/// process still sees the host's files and is in the host's cgroup namespace.
///
/// A cgroup into which this user may not move a process is left out, unless its name contains `id`, the container's: that
/// cgroup was made for the container.
///
/// # Errors
/// The cgroup was made for the container, and this process cannot be moved into it.
pub(super) fn join(pid: u32, id: &str) -> Result<(), Errno> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let own = memberships(&read("/proc/self/cgroup"));
    let mounted = mounts(&read("/proc/self/mountinfo"));
    for wanted in memberships(&read(&format!("/proc/{pid}/cgroup"))).into_iter().filter(|wanted| !own.contains(wanted))
    {
        let made_for_it = wanted.cgroup.to_string_lossy().contains(id);
        let moved = match wanted.directory(&mounted) {
            // 0 is the process that writes.
            Some(dir) => fs::write(dir.join("cgroup.procs"), "0"),
            None => Err(io::Error::from(Errno::NOENT)),
        };
        match moved {
            Err(error) if made_for_it => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            Err(error) => tracing::debug!(%error, cgroup = %wanted.cgroup.display(), "stays outside a cgroup"),
            Ok(()) => {}
        }
    }
    Ok(())
}

impl Membership {
    /// The directory of the cgroup, where one of the mounts shows it.
    fn directory(&self, mounted: &[Mounted]) -> Option<PathBuf> {
        let shows = |mount: &&Mounted| match &mount.options {
            None => self.controllers.is_empty(),
            Some(options) => {
                let mut controllers = self.controllers.split(',');
                !self.controllers.is_empty() && controllers.all(|one| options.split(',').any(|option| option == one))
            }
        };
        mounted.iter().filter(shows).find_map(|mount| {
            let below = self.cgroup.strip_prefix(&mount.root).ok()?;
            // A cgroup outside of this process's cgroup namespace has `..` in its name.
            below.components().all(|c| matches!(c, Component::Normal(_))).then(|| mount.at.join(below))
        })
    }
}

/// Parses `NUMBER:CONTROLLERS:CGROUP` lines.
fn memberships(text: &str) -> Vec<Membership> {
    let parse = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, cgroup) = (fields.next()?.to_owned(), PathBuf::from(fields.next()?));
        Some(Membership { controllers, cgroup })
    };
    text.lines().filter_map(parse).collect()
}

/// The cgroup mounts in `text`, a `mountinfo`.
fn mounts(text: &str) -> Vec<Mounted> {
    let parse = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let (mut mount, mut file_system) = (mount.split(' ').skip(3), file_system.split(' '));
        let (root, at) = (Path::new(mount.next()?).to_owned(), Path::new(mount.next()?).to_owned());
        let options = match file_system.next()? {
            "cgroup2" => None,
            "cgroup" => Some(file_system.nth(1)?.to_owned()),
            _ => return None,
        };
        Some(Mounted { at, root, options })
    };
    text.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        25 1 0:22 / /proc rw - proc proc rw\n\
        30 25 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n\
        31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        32 25 0:28 /outer /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        33 25 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";

    #[test]
    fn the_directory_of_a_cgroup_is_found_in_every_version() {
        let mounted = mounts(MOUNTS);
        assert_eq!(mounted.len(), 4);
        for (line, expected) in [
            ("0::/box", Some("/sys/fs/cgroup/unified/box")),
            ("0::/", Some("/sys/fs/cgroup/unified/")),
            ("4:memory:/a/b", Some("/sys/fs/cgroup/memory/a/b")),
            ("5:cpu,cpuacct:/outer/x", Some("/sys/fs/cgroup/cpu,cpuacct/x")),
            ("5:cpu,cpuacct:/x", None),
            ("6:name=systemd:/with:colon", Some("/sys/fs/cgroup/systemd/with:colon")),
            ("7:pids:/a", None),
            ("0::/../other", None),
        ] {
            let [wanted] = memberships(line).try_into().unwrap();
            assert_eq!(wanted.directory(&mounted), expected.map(PathBuf::from), "{line}");
        }
    }
}
