//! The mounts of a container as `inspect` shows them, with docker's field names.

use serde::Serialize;

use super::{Access, MountKind, Mounts, Propagation};
use crate::store::Container;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct MountPoint {
    /// `bind`, `volume` or `tmpfs`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    /// The name of a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The path on the host; empty for a tmpfs.
    pub source: String,
    pub destination: String,
    /// `local` for a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<&'static str>,
    pub mode: String,
    #[serde(rename = "RW")]
    pub writable: bool,
    /// `rprivate` or `rslave` for a bind mount, else empty.
    pub propagation: &'static str,
}

impl Mounts {
    /// The mounts of `container`, which these belong to. Bytes of a path that are not UTF-8 are replaced.
    pub fn points(&self, container: &Container) -> Vec<MountPoint> {
        let point = |mount: &super::Mount| {
            let (kind, name, source, propagation) = match &mount.kind {
                MountKind::Bind(bind) => {
                    let propagation = match bind.propagation {
                        Propagation::Private => "rprivate",
                        Propagation::Slave => "rslave",
                    };
                    ("bind", None, bind.source.display().to_string(), propagation)
                }
                MountKind::Volume(volume) => {
                    let name = volume.name.name().unwrap_or_default();
                    let data = container.volume(name).map(|volume| volume.data().display().to_string());
                    ("volume", Some(name.to_owned()), data.unwrap_or_default(), "")
                }
                MountKind::Tmpfs(_) => ("tmpfs", None, String::new(), ""),
            };
            MountPoint {
                kind,
                driver: name.is_some().then_some("local"),
                name,
                source,
                destination: mount.target.display().to_string(),
                mode: if mount.access == Access::ReadOnly { "ro".into() } else { String::new() },
                writable: mount.access == Access::ReadWrite,
                propagation,
            }
        };
        self.list.iter().map(point).collect()
    }
}
