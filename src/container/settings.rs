//! How a container is to run: everything that its creation fixes, so that each start makes the same container again.
//!
//! The store keeps it as `settings.json` in the container's directory. Fields that an older version did not write have
//! their default.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::image::Config;
use serde::{Deserialize, Serialize};

use super::error::LaunchError;
use super::files::name_files;
use super::isolation::Security;
use super::life::Life;
use super::mounts::{Mount, MountKind, Mounts};
use super::network::{Attachment, Link, Network, NetworkSettings, Planned, Programs};
use super::plan::{Access, First, Input, Isolation, Plan, Runtime, Sandbox};
use super::relay::host_window;
use super::resources::Resources;
use super::spec::{Process, SpecError, Wishes};
use crate::store::{Container, StoreError, Volume};
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
    /// `None`: this host's name with this host's network, else the container's ID. With another container's network: the
    /// name of that container.
    pub hostname: Option<String>,
    /// The container's own labels; those of its image are added where labels are shown.
    pub labels: BTreeMap<String, String>,
    /// Whether process 1 is our init.
    pub init: bool,
    /// Whether the root can be changed.
    pub read_only: bool,
    /// Whether the container only has another root directory, and no namespaces.
    pub chroot: bool,
    pub network: NetworkSettings,
    pub mounts: Mounts,
    pub security: Security,
    /// Whether a container with one id gets no other ids.
    pub no_virtual_ids: bool,
    pub resources: Resources,
    /// The OCI runtime that makes the container; `None`: our own launcher.
    pub runtime: Option<PathBuf>,
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

    /// The plan of one run. Writes the files that it needs into the container's directory. `programs` are those that can
    /// connect a private network.
    ///
    /// # Errors
    /// A file cannot be written, a volume is gone, or [`LaunchError::Network`].
    pub fn plan(&self, container: &Container, process: Process, programs: &Programs) -> Result<Plan, LaunchError> {
        let (isolation, link) = self.isolation(container, programs)?;
        Ok(Plan {
            root: container.merged(),
            process,
            isolation,
            security: self.security.clone(),
            virtual_ids: !self.no_virtual_ids && self.runtime.is_none(),
            resources: self.resources.clone(),
            id: Some(container.id.clone()),
            input: if self.interactive { Input::Attached } else { Input::Nothing },
            window: host_window(),
            link,
        })
    }

    fn isolation(&self, container: &Container, programs: &Programs) -> Result<(Isolation, Option<Link>), LaunchError> {
        if self.chroot {
            return Ok((Isolation::Chroot, None));
        }
        let hostname = self.hostname(&container.id);
        let Planned { attachment, link, names } = self.network.plan(container, &hostname, programs)?;
        let mut mounts = name_files(container.dir(), &hostname, &names)?;
        // A mount of the user replaces ours.
        mounts.retain(|ours| self.mounts.list.iter().all(|mount| mount.target != ours.target));
        mounts.extend(self.mounts.list.iter().cloned());
        let volumes = volumes_of(&mounts, container)?;
        let sandbox = Sandbox {
            hostname,
            domain: self.network.domain.clone(),
            network: attachment,
            root: if self.read_only { Access::ReadOnly } else { Access::ReadWrite },
            mounts,
            volumes,
            shm_size: self.mounts.shm_size,
            first: if self.init { First::Init } else { First::Command },
            runtime: self.runtime.as_ref().map(|program| Runtime {
                program: program.clone(),
                dir: container.dir().join("runtime"),
                id: container.id.clone(),
            }),
        };
        Ok((Isolation::Namespaces(sandbox), link))
    }

    /// Whether the container has a network that leads nowhere.
    pub(super) fn is_alone(&self) -> bool {
        !self.chroot && self.network.network == Network::None
    }

    /// The mounts whose files outlive a run, for a process that shows the files of a container that does not run.
    pub(super) fn lasting_mounts(&self, container: &Container) -> Result<Sandbox, LaunchError> {
        let lasting = self.mounts.list.iter().filter(|mount| !matches!(mount.kind, MountKind::Tmpfs(_)));
        let mounts: Vec<_> = lasting.cloned().collect();
        let volumes = volumes_of(&mounts, container)?;
        Ok(Sandbox {
            hostname: String::new(),
            domain: None,
            network: Attachment::None,
            root: Access::ReadWrite,
            mounts,
            volumes,
            shm_size: None,
            runtime: None,
            first: First::Command,
        })
    }

    /// The default is the host's name with the host's network, as in docker, and otherwise the container's ID.
    pub fn hostname(&self, id: &str) -> String {
        match (&self.hostname, &self.network.network) {
            (Some(name), _) => name.clone(),
            (None, Network::Host) => namespace::host_name(),
            (None, _) => id.chars().take(12).collect(),
        }
    }
}

/// The volumes that the mounts name.
fn volumes_of(mounts: &[Mount], container: &Container) -> Result<Vec<Volume>, LaunchError> {
    let names = mounts.iter().filter_map(|mount| match &mount.kind {
        MountKind::Volume(volume) => volume.name.name(),
        _ => None,
    });
    Ok(names.map(|name| container.volume(name)).collect::<Result<_, _>>()?)
}
