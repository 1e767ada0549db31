//! Mounts: the files that a container shows besides its root: bind mounts, volumes and tmpfs.
//!
//! ```text
//!   -v ──short──┐
//!   --mount ─long─► Mount ──gather──► Mounts (kept with the container) ──attach──► mounted
//!   --tmpfs ─────┘    ▲                                                  └─fill: first content of a volume
//!   image's VOLUME ───┘
//! ```
#![doc = include_str!("mounts.md")]

mod attach;
mod error;
mod fill;
mod gather;
mod long;
mod point;
mod short;
mod size;
mod tmpfs;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::Access;
use crate::store::NewVolume;

pub(super) use attach::{Opened, attach, fill_volumes, open};
pub use error::MountError;
pub use gather::{gather, inherited};
pub use long::record;
pub use point::MountPoint;
pub use size::{SizeError, bytes};
pub use tmpfs::Tmpfs;

/// The usual size of `/dev/shm`, in bytes.
pub const SHM_SIZE: u64 = 64 << 20;

/// What a container shows besides its root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mounts {
    /// With absolute sources.
    pub list: Vec<Mount>,
    /// The size of `/dev/shm` in bytes; `None`: 64 MiB.
    pub shm_size: Option<u64>,
}

/// A file or directory that is mounted in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path in the container, without `..`.
    pub target: PathBuf,
    pub access: Access,
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    Bind(Bind),
    Volume(VolumeMount),
    /// A new file system in memory.
    Tmpfs(Tmpfs),
}

/// A file or directory of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Path on the host.
    pub source: PathBuf,
    #[serde(default)]
    pub submounts: Submounts,
    #[serde(default)]
    pub propagation: Propagation,
}

/// The mounts below the source of a bind mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Submounts {
    /// Mounted too, and read-only if the bind mount is.
    #[default]
    Alike,
    /// Mounted too; those that can be written to stay so.
    Writable,
    /// Not mounted.
    Absent,
}

/// Whether mounts that the host makes or removes below the source later appear in the container. Those that the
/// container makes never reach the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    #[default]
    Private,
    Slave,
}

/// A volume of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    pub name: VolumeName,
    /// Whether a new volume first gets the files that the image has at the target.
    pub copy: bool,
    /// A path in the volume to mount instead of the whole volume.
    #[serde(default)]
    pub subpath: Option<PathBuf>,
    /// The labels of the volume if it does not exist yet.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Which volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeName {
    Named(String),
    /// One that was made for the container, or for that whose volumes the container takes over. It has a name once the
    /// container exists.
    Anonymous(Option<String>),
}

impl VolumeName {
    /// `None` for an anonymous volume that does not exist yet.
    pub fn name(&self) -> Option<&str> {
        match self {
            VolumeName::Named(name) => Some(name),
            VolumeName::Anonymous(name) => name.as_deref(),
        }
    }

    pub fn is_anonymous(&self) -> bool {
        matches!(self, VolumeName::Anonymous(_))
    }
}

impl VolumeMount {
    pub(super) fn new(name: VolumeName) -> VolumeMount {
        VolumeMount { name, copy: true, subpath: None, labels: BTreeMap::new() }
    }
}

impl Mount {
    /// A file or directory of the host that can be written to.
    pub fn bind(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Mount {
        let bind = Bind { source: source.into(), submounts: Submounts::Alike, propagation: Propagation::Private };
        Mount { target: target.into(), access: Access::ReadWrite, kind: MountKind::Bind(bind) }
    }

    /// The name of a volume, or the path of a bind mount's source; `None` for a tmpfs.
    pub fn source_name(&self) -> Option<String> {
        match &self.kind {
            MountKind::Bind(bind) => Some(bind.source.display().to_string()),
            MountKind::Volume(volume) => volume.name.name().map(Into::into),
            MountKind::Tmpfs(_) => None,
        }
    }

    /// Whether it is an anonymous volume.
    pub fn is_anonymous(&self) -> bool {
        matches!(&self.kind, MountKind::Volume(volume) if volume.name.is_anonymous())
    }
}

impl Mounts {
    /// The volumes that the container uses, to be made with it.
    pub fn volumes(&self) -> Vec<NewVolume> {
        let mut volumes: Vec<NewVolume> = Vec::new();
        for mount in &self.list {
            let MountKind::Volume(volume) = &mount.kind else { continue };
            let Some(name) = volume.name.name() else { continue };
            if volumes.iter().all(|other| other.name.as_deref() != Some(name)) {
                let (name, labels) = (Some(name.to_owned()), volume.labels.clone());
                volumes.push(NewVolume { name, labels, anonymous: volume.name.is_anonymous() });
            }
        }
        volumes
    }
}

/// An absolute target in its shortest form, as a process without symbolic links in its way would resolve it.
fn target(text: &str) -> Result<PathBuf, MountError> {
    let clean = shortest(Path::new(text));
    if !Path::new(text).is_absolute() || clean == Path::new("/") {
        return Err(MountError::Target(text.to_owned()));
    }
    Ok(clean)
}

fn shortest(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::from("/"), |mut path, component| {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => drop(path.pop()),
            _ => {}
        }
        path
    })
}
