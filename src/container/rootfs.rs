//! The tree that a container sees: its root with `/proc`, `/dev`, `/sys` and volumes mounted in it.
//!
//! Works before the switch to the new root, in the container's own mount namespace, where the host's files can
//! still be reached. Every target is resolved inside the new root, and every mount is attached by descriptor, so
//! that no symbolic link of an image decides where something is mounted.

use std::ffi::{CStr, OsStr};
use std::path::Path;

use super::error::{Doing, LaunchError};
use super::plan::{Access, Sandbox, Volume};
use crate::sys::{Detached, Dir, Errno, Kind, Name, Reach, Refuse, Root};

type Result<T> = std::result::Result<T, LaunchError>;

/// Devices that every container has: name, major and minor number.
const DEVICES: [(&str, u8, u8); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const DEVICE_LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

/// What tells of the host, or lets it be changed, and is no business of a container. The list is docker's.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const HARMLESS: Refuse = Refuse::SET_ID.and(Refuse::DEVICES).and(Refuse::EXECUTION);

/// The assembled tree.
#[derive(Debug)]
pub(super) struct Rootfs {
    pub(super) root: Root,
    /// `/dev`.
    pub(super) dev: Dir,
}

/// Mounts everything at `path`, in this process's mount namespace.
pub(super) fn assemble(path: &Path, sandbox: &Sandbox) -> Result<Rootfs> {
    // Once more over itself: a root must be a mount, and what is refused below concerns this one alone.
    let top = Detached::bind_host(path).doing(format!("bind {}", path.display()))?;
    let below = Dir::open_host(path).doing(format!("open {}", path.display()))?;
    top.attach(&below).doing(format!("mount {}", path.display()))?;
    let root = Root::from(top.into_dir());

    proc(&root)?;
    sys(&root)?;
    let dev = dev(&root)?;
    for masked in MASKED {
        mask(&root, masked)?;
    }
    for path in READ_ONLY {
        make_read_only(&root, path)?;
    }
    let mut volumes: Vec<&Volume> = sandbox.volumes.iter().collect();
    // What is mounted inside of another volume comes after it.
    volumes.sort_by_key(|volume| volume.target.components().count());
    for one in volumes {
        volume(&root, one)?;
    }
    Ok(Rootfs { root, dev })
}

/// Takes the right to write away, once everything is in its place.
pub(super) fn restrict(root: &Root, access: Access) -> Result<()> {
    match access {
        Access::ReadWrite => Ok(()),
        Access::ReadOnly => Detached::refuse(root, Refuse::WRITING, Reach::Top).doing("make the root read-only"),
    }
}

fn attach(mount: &Detached, root: &Root, target: &str) -> Result<()> {
    let at = root.make_dirs(target).doing(format!("make {target}"))?;
    mount.attach(at).doing(format!("mount {target}"))
}

fn proc(root: &Root) -> Result<()> {
    let proc = Detached::new(c"proc", &[], HARMLESS).doing("mount /proc (is this itself a container?)")?;
    attach(&proc, root, "/proc")
}

/// A sysfs of one's own goes with a network of one's own; with the host's network, an ordinary user sees the host's.
fn sys(root: &Root) -> Result<()> {
    let sys = match Detached::new(c"sysfs", &[], HARMLESS.and(Refuse::WRITING)) {
        Err(Errno::PERM) => {
            let host = Detached::bind_host(Path::new("/sys")).doing("bind /sys")?;
            host.set(HARMLESS.and(Refuse::WRITING), Reach::Tree).doing("make /sys read-only")?;
            host
        }
        other => other.doing("mount /sys")?,
    };
    attach(&sys, root, "/sys")
}

fn dev(root: &Root) -> Result<Dir> {
    // Not EXECUTION: programs map /dev/zero to get memory that they execute.
    let dev = Detached::new(c"tmpfs", &[("mode", "755"), ("size", "65536k")], Refuse::SET_ID).doing("make /dev")?;
    attach(&dev, root, "/dev")?;
    let dev = dev.into_dir();
    for (name, major, minor) in DEVICES {
        device(&dev, name, major, minor).doing(format!("make /dev/{name}"))?;
    }
    for (name, target) in DEVICE_LINKS {
        Name::new(name)
            .and_then(|name| dev.make_symlink(name, OsStr::new(target)))
            .doing(format!("make /dev/{name}"))?;
    }
    let pts = terminals().doing("make /dev/pts")?;
    inside(&dev, "pts", &pts)?;
    let shm = Detached::new(c"tmpfs", &[("mode", "1777"), ("size", "65536k")], HARMLESS).doing("make /dev/shm")?;
    inside(&dev, "shm", &shm)?;
    match Detached::new(c"mqueue", &[], HARMLESS) {
        Ok(queues) => inside(&dev, "mqueue", &queues)?,
        Err(errno) => tracing::debug!(%errno, "no /dev/mqueue"),
    }
    Ok(dev)
}

/// The device itself, or where this user may not make it, the host's.
fn device(dev: &Dir, name: &str, major: u8, minor: u8) -> std::result::Result<(), Errno> {
    let checked = Name::new(name)?;
    let number = u64::from(major) << 8 | u64::from(minor);
    match dev.make_node(checked, Kind::CharDevice, 0o666, number) {
        Err(Errno::PERM) => {
            dev.make_node(checked, Kind::Regular, 0o666, 0)?;
            let host = Detached::bind_host(&Path::new("/dev").join(name))?;
            host.attach(dev.open_path(name)?)
        }
        other => other,
    }
}

/// Terminals belong to group 5, which is `tty` everywhere; where that group is not mapped, to their user's.
fn terminals() -> std::result::Result<Detached, Errno> {
    const KIND: &CStr = c"devpts";
    let refuse = Refuse::SET_ID.and(Refuse::EXECUTION);
    let options = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    match Detached::new(KIND, &options, refuse) {
        Err(Errno::INVAL) => Detached::new(KIND, &options[..3], refuse),
        other => other,
    }
}

fn inside(dev: &Dir, name: &str, mount: &Detached) -> Result<()> {
    let attach = || -> std::result::Result<(), Errno> {
        dev.make_dir(Name::new(name)?, 0o755)?;
        mount.attach(dev.open_dir(name)?)
    };
    attach().doing(format!("mount /dev/{name}"))
}

/// An empty directory over a directory, `/dev/null` over a file; what is not there needs no mask.
fn mask(root: &Root, path: &str) -> Result<()> {
    let doing = || format!("mask {path}");
    let at = match root.open_path(path) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.doing(doing())?,
    };
    let cover = if at.stat().doing(doing())?.kind == Kind::Directory {
        Detached::new(c"tmpfs", &[("mode", "555")], HARMLESS.and(Refuse::WRITING))
    } else {
        Detached::bind_host(Path::new("/dev/null"))
    };
    cover.doing(doing())?.attach(at).doing(doing())
}

fn make_read_only(root: &Root, path: &str) -> Result<()> {
    let doing = || format!("make {path} read-only");
    let at = match root.open_path(path) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.doing(doing())?,
    };
    let once_more = Detached::bind(&at).doing(doing())?;
    once_more.set(Refuse::WRITING, Reach::Tree).doing(doing())?;
    once_more.attach(at).doing(doing())
}

fn volume(root: &Root, volume: &Volume) -> Result<()> {
    let (source, target) = (volume.source.display(), volume.target.display());
    let mount = Detached::bind_host(&volume.source).doing(format!("bind {source}"))?;
    if volume.access == Access::ReadOnly {
        mount.set(Refuse::WRITING, Reach::Tree).doing(format!("make {source} read-only"))?;
    }
    let is_dir = mount.kind().doing(format!("look at {source}"))? == Kind::Directory;
    let doing = || format!("mount {source} on {target}");
    if is_dir {
        mount.attach(root.make_dirs(&volume.target).doing(doing())?).doing(doing())
    } else {
        mount.attach(root.make_file(&volume.target).doing(doing())?).doing(doing())
    }
}
