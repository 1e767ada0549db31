//! How a container is to run: everything that its creation fixes, so that each start makes the same container again.
//!
//! The store keeps it as `settings.json` in the container's directory. Fields that an older version did not write have
//! their default.

use std::collections::BTreeMap;

use oci_spec::image::Config;
use serde::{Deserialize, Serialize};

use super::error::LaunchError;
use super::files::name_files;
use super::isolation::Security;
use super::life::Life;
use super::mounts::{MountKind, Mounts};
use super::plan::{Access, First, Input, Isolation, Network, Plan, Sandbox};
use super::relay::host_window;
use super::resources::Resources;
use super::spec::{Process, SpecError, Wishes};
use crate::store::{Container, StoreError};
use crate::sys::namespace;

/// The name of the document.
pub const SETTINGS: &str = "settings.json";

/// How a container is to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The user's part of the process to run; the image has the rest.
    pub wishes: Wishes,
    /// Whether the command's standard input stays open (`-i`).
    pub interactive: bool,
    /// Whether the container is removed when it ends.
    pub auto_remove: bool,
    pub life: Life,
    /// `None`: this host's name with this host's network, else the container's ID.
    pub hostname: Option<String>,
    /// The container's own labels; those of its image are added where labels are shown.
    pub labels: BTreeMap<String, String>,
    /// Whether process 1 is our init.
    pub init: bool,
    /// Whether the root can be changed.
    pub read_only: bool,
    /// Whether the container only has another root directory, and no namespaces.
    pub chroot: bool,
    pub network: Network,
    pub mounts: Mounts,
    pub security: Security,
    /// Whether a container with one id gets no other ids.
    pub no_virtual_ids: bool,
    pub resources: Resources,
}

impl Settings {
    /// The settings of a container of the store. The default for one that was made for a mount only.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn of(container: &Container) -> Result<Settings, StoreError> {
        Ok(container.read_document(SETTINGS)?.unwrap_or_default())
    }

    /// The process to run in a container with the ID `id`.
    ///
    /// # Errors
    /// As [`Process::new`].
    pub fn process(&self, image: Option<&Config>, id: &str) -> Result<Process, SpecError> {
        Process::new(image, &self.wishes, &self.hostname(id))
    }

    /// The plan of one run. Writes the files that it needs into the container's directory.
    ///
    /// # Errors
    /// A file cannot be written, or a volume is gone.
    pub fn plan(&self, container: &Container, process: Process) -> Result<Plan, LaunchError> {
        Ok(Plan {
            root: container.merged(),
            process,
            isolation: self.isolation(container)?,
            security: self.security.clone(),
            virtual_ids: !self.no_virtual_ids,
            resources: self.resources.clone(),
            id: Some(container.id.clone()),
            input: if self.interactive { Input::Attached } else { Input::Nothing },
            window: host_window(),
        })
    }

    fn isolation(&self, container: &Container) -> Result<Isolation, LaunchError> {
        if self.chroot {
            return Ok(Isolation::Chroot);
        }
        let hostname = self.hostname(&container.id);
        let mut mounts = name_files(container.dir(), &hostname, self.network)?;
        // A mount of the user replaces ours.
        mounts.retain(|ours| self.mounts.list.iter().all(|mount| mount.target != ours.target));
        mounts.extend(self.mounts.list.iter().cloned());
        let names = mounts.iter().filter_map(|mount| match &mount.kind {
            MountKind::Volume(volume) => volume.name.name(),
            _ => None,
        });
        let volumes = names.map(|name| container.volume(name)).collect::<Result<_, _>>()?;
        Ok(Isolation::Namespaces(Sandbox {
            hostname,
            network: self.network,
            root: if self.read_only { Access::ReadOnly } else { Access::ReadWrite },
            mounts,
            volumes,
            shm_size: self.mounts.shm_size,
            first: if self.init { First::Init } else { First::Command },
        }))
    }

    /// The isolation for rights alone: without names and volumes.
    pub(super) fn shape(&self) -> Isolation {
        if self.chroot {
            return Isolation::Chroot;
        }
        Isolation::Namespaces(Sandbox {
            hostname: String::new(),
            network: self.network,
            root: Access::ReadWrite,
            mounts: Vec::new(),
            volumes: Vec::new(),
            shm_size: None,
            first: First::Command,
        })
    }

    /// The default is the host's name with the host's network, as in docker, and otherwise the container's ID.
    pub fn hostname(&self, id: &str) -> String {
        match (&self.hostname, self.network) {
            (Some(name), _) => name.clone(),
            (None, Network::Host) => namespace::host_name(),
            (None, Network::None) => id.chars().take(12).collect(),
        }
    }
}
