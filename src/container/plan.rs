//! The plan of a container: everything that a launch needs, in one value.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::isolation::Security;
use super::mounts::Mount;
use super::network::{Attachment, Link};
use super::resources::Resources;
use super::spec::Process;
use crate::store::Volume;
use crate::sys::pty::WindowSize;

/// A container that is ready to be launched over a prepared root directory.
#[derive(Debug)]
pub struct Plan {
    /// A directory of this host that becomes the root; usually a mount point.
    pub root: PathBuf,
    pub process: Process,
    pub isolation: Isolation,
    pub security: Security,
    /// Whether processes may become users that the user namespace lacks, and give files to them.
    pub virtual_ids: bool,
    pub resources: Resources,
    /// The container's ID, after which its cgroup is named; `None` for a container without a cgroup.
    pub id: Option<String>,
    pub input: Input,
    /// The size that the container's terminal starts with.
    pub window: Option<WindowSize>,
    /// What connects a private network.
    pub link: Option<Link>,
}

impl Plan {
    /// The OCI runtime that makes the container, if one does.
    pub fn runtime(&self) -> Option<&Runtime> {
        match &self.isolation {
            Isolation::Namespaces(sandbox) => sandbox.runtime.as_ref(),
            Isolation::Chroot => None,
        }
    }
}

/// How the container is separated from the host.
#[derive(Debug)]
pub enum Isolation {
    Namespaces(Sandbox),
    /// `chroot(2)` alone: for root, on hosts that allow no namespaces.
    Chroot,
}

impl Isolation {
    /// Whether the container has a network that leads nowhere.
    pub(super) fn is_alone(&self) -> bool {
        matches!(self, Isolation::Namespaces(Sandbox { network: Attachment::None, .. }))
    }
}

/// The settings of a container with its own namespaces.
#[derive(Debug)]
pub struct Sandbox {
    pub hostname: String,
    pub domain: Option<String>,
    pub network: Attachment,
    /// Access to the root mount. Does not apply to other mounts, `/dev` and `/dev/shm`.
    pub root: Access,
    pub mounts: Vec<Mount>,
    /// The volumes that `mounts` names.
    pub volumes: Vec<Volume>,
    /// The size of `/dev/shm` in bytes; `None`: 64 MiB.
    pub shm_size: Option<u64>,
    pub first: First,
    /// The program that makes the container instead of this launcher.
    pub runtime: Option<Runtime>,
}

/// An OCI runtime, and what it needs to run one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// The program.
    pub program: PathBuf,
    /// A directory for the bundle and the runtime's own state. Nothing else may use it.
    pub dir: PathBuf,
    /// The container's ID.
    pub id: String,
}

/// Which process is number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The command, as with `docker run`: signals that it does not handle do nothing, and it inherits orphans.
    Command,
    /// A small init of Overfuse, as with `docker run --init`: forwards signals and reaps orphans.
    Init,
}

/// Whether a mount can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    ReadWrite,
    ReadOnly,
}

/// Where the command's standard input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The launcher's standard input.
    Attached,
    /// `/dev/null`; with a terminal: no input.
    Nothing,
}
