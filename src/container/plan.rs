//! The plan of a container: everything that a launch needs, in one value.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::isolation::Security;
use super::mounts::Mount;
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
}

/// How the container is separated from the host.
#[derive(Debug)]
pub enum Isolation {
    Namespaces(Sandbox),
    /// `chroot(2)` alone: for root, on hosts that allow no namespaces.
    Chroot,
}

/// The settings of a container with its own namespaces.
#[derive(Debug)]
pub struct Sandbox {
    pub hostname: String,
    pub network: Network,
    /// Access to the root mount. Does not apply to other mounts, `/dev` and `/dev/shm`.
    pub root: Access,
    pub mounts: Vec<Mount>,
    /// The volumes that `mounts` names.
    pub volumes: Vec<Volume>,
    /// The size of `/dev/shm` in bytes; `None`: 64 MiB.
    pub shm_size: Option<u64>,
    pub first: First,
}

/// Which process is number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The command, as with `docker run`: signals that it does not handle do nothing, and it inherits orphans.
    Command,
    /// A small init of Overfuse, as with `docker run --init`: forwards signals and reaps orphans.
    Init,
}

/// The network that a container uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    #[default]
    Host,
    /// Its own network namespace, with only the loopback interface.
    None,
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
