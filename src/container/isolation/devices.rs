//! Devices: those that every container has, and those of the host that the user adds.
//!
//! `/dev` is a new tmpfs. The launcher uses its descriptor, never a path, so a link in the image cannot redirect it.

use std::ffi::{CStr, OsStr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::super::cgroup::{DeviceKind, DeviceRights, DeviceRule};
use super::super::error::{Doing, LaunchError};
use super::super::mounts::SHM_SIZE;
use super::masks::HARMLESS;
use crate::sys::{self, Detached, Dir, Errno, Kind, Name, Refuse, Root};

type Result<T> = std::result::Result<T, LaunchError>;

/// Devices that every container has: name, major and minor number.
const DEVICES: [(&str, u8, u8); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

/// A device of the host that a container gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path on the host.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: PathBuf,
    #[serde(default = "all_rights")]
    pub rights: DeviceRights,
}

fn all_rights() -> DeviceRights {
    DeviceRights::ALL
}

/// Why a text is not a valid `--device` value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error("{0:?} is not a device: expected SOURCE[:TARGET][:RIGHTS], absolute paths and some of rwm")]
    Form(String),
}

impl FromStr for Device {
    type Err = DeviceError;

    /// `SOURCE[:TARGET][:RIGHTS]`, docker's syntax.
    fn from_str(text: &str) -> std::result::Result<Device, DeviceError> {
        let mut parts: Vec<&str> = text.split(':').collect();
        let mut rights = DeviceRights::ALL;
        if let [_, .., last] = parts[..]
            && !last.starts_with('/')
        {
            rights = DeviceRights::parse(last).ok_or_else(|| DeviceError::Form(text.to_owned()))?;
            parts.pop();
        }
        let (source, target) = match parts[..] {
            [source] => (source, source),
            [source, target] => (source, target),
            _ => return Err(DeviceError::Form(text.to_owned())),
        };
        let is_path = |path: &str| path.starts_with('/') && path.bytes().any(|b| b != b'/');
        if !is_path(source) || !is_path(target) {
            return Err(DeviceError::Form(text.to_owned()));
        }
        Ok(Device { source: source.into(), target: target.into(), rights })
    }
}

impl Device {
    /// The rule that allows its use; `None` where the source is no device.
    pub(in crate::container) fn rule(&self) -> Option<DeviceRule> {
        let stat = self.source.metadata().ok()?;
        let kind = match Kind::of_mode(stat.mode()) {
            Kind::BlockDevice => DeviceKind::Block,
            Kind::CharDevice => DeviceKind::Char,
            _ => return None,
        };
        let (major, minor) = (Some(sys::device_major(stat.rdev())), Some(sys::device_minor(stat.rdev())));
        Some(DeviceRule { kind, major, minor, rights: self.rights })
    }
}

/// Makes and mounts `/dev`; returns its directory. `/dev/shm` has `shm_size` bytes, or 64 MiB.
pub(in crate::container) fn mount(root: &Root, shm_size: Option<u64>) -> Result<Dir> {
    // Not EXECUTION: programs map /dev/zero to get memory that they execute.
    let dev = Detached::new(c"tmpfs", &[("mode", "755"), ("size", "65536k")], Refuse::SET_ID).doing("make /dev")?;
    dev.attach(root.make_dirs("/dev").doing("make /dev")?).doing("mount /dev")?;
    let dev = dev.into_dir();
    for (name, major, minor) in DEVICES {
        device(&dev, name, major, minor).doing(format!("make /dev/{name}"))?;
    }
    for (name, target) in LINKS {
        Name::new(name)
            .and_then(|name| dev.make_symlink(name, OsStr::new(target)))
            .doing(format!("make /dev/{name}"))?;
    }
    let pts = terminals().doing("make /dev/pts")?;
    inside(&dev, "pts", &pts)?;
    let size = shm_size.unwrap_or(SHM_SIZE).to_string();
    let shm = Detached::new(c"tmpfs", &[("mode", "1777"), ("size", &size)], HARMLESS).doing("make /dev/shm")?;
    inside(&dev, "shm", &shm)?;
    match Detached::new(c"mqueue", &[], HARMLESS) {
        Ok(queues) => inside(&dev, "mqueue", &queues)?,
        Err(errno) => tracing::debug!(%errno, "no /dev/mqueue"),
    }
    Ok(dev)
}

/// Makes the device node or, where this user may not, bind-mounts the host's node.
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

/// A new devpts. Terminals belong to group 5 (`tty` on all distributions), or to their user's group where 5 is not
/// mapped.
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

/// Bind-mounts one device of the host. It keeps the host's owner and mode.
pub(in crate::container) fn give(root: &Root, device: &Device) -> Result<()> {
    let (source, target) = (device.source.display(), device.target.display());
    let mount = Detached::bind_host(&device.source).doing(format!("bind {source}"))?;
    if !matches!(mount.kind().doing(format!("look at {source}"))?, Kind::CharDevice | Kind::BlockDevice) {
        return Err(LaunchError::NoDevice(device.source.clone()));
    }
    let doing = || format!("mount {source} on {target}");
    mount.attach(root.make_file(&device.target).doing(doing())?).doing(doing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_as_docker_reads_it() {
        let with = |source: &str, target: &str, rights: &str| {
            let rights = DeviceRights::parse(rights).unwrap();
            Ok(Device { source: source.into(), target: target.into(), rights })
        };
        let device = |source: &str, target: &str| with(source, target, "rwm");
        let form = |text: &str| Err(DeviceError::Form(text.into()));
        for (text, expected) in [
            ("/dev/fuse", device("/dev/fuse", "/dev/fuse")),
            ("/dev/fuse:/dev/x", device("/dev/fuse", "/dev/x")),
            ("/dev/fuse:/dev/x:rwm", device("/dev/fuse", "/dev/x")),
            ("/dev/fuse:rw", with("/dev/fuse", "/dev/fuse", "rw")),
            ("/dev/fuse:r", with("/dev/fuse", "/dev/fuse", "r")),
            ("/dev/fuse:/dev/x:", form("/dev/fuse:/dev/x:")),
            ("/dev/fuse:/dev/x:/dev/y", form("/dev/fuse:/dev/x:/dev/y")),
            ("fuse", form("fuse")),
            ("/dev/fuse:x", form("/dev/fuse:x")),
            ("/", form("/")),
            ("", form("")),
        ] {
            assert_eq!(text.parse::<Device>(), expected, "{text:?}");
        }
    }
}
