//! Containers: runs a process in its own root directory, from an image's configuration and the user's wishes.
//!
//! ```text
//!   Wishes + image config ──spec──► Process ──┐
//!   mounts, network, … ───────────► Sandbox ──┴─► Plan ──launch──► Launched ──go──► exit status
//! ```
//!
//! The process that starts a container stays its supervisor: it serves the root file system and forwards signals and
//! keys. When it dies, even by SIGKILL, the container dies with it.
//!
//! Process 1 of the container is the command itself, as with `docker run`: signals that it does not handle have no
//! effect on it. With [`First::Init`], process 1 is a small init of Overfuse.
#![allow(missing_docs)]

mod account;
mod attach;
pub mod bundle;
mod cgroup;
mod child;
mod command;
mod control;
mod copy;
mod enter;
mod error;
mod exec;
mod files;
mod init;
mod isolation;
mod launch;
mod life;
pub mod log;
mod monitor;
mod mounts;
pub mod network;
mod plan;
mod relay;
mod resources;
mod restart;
mod rootfs;
pub mod runtime;
mod serve;
mod settings;
mod spec;
mod state;
mod sweep;
mod top;
mod virtual_ids;

pub use account::{Identity, UnknownAccount, UserSpec};
pub use attach::{Attach, DetachKeys, Left, NoKeys};
pub use cgroup::{
    Cgroup, CgroupError, DeviceKind, DeviceRights, DeviceRule, DeviceRuleError, Frozen, LimitError, Limits, Most,
    OwnedCgroup, Usage, host_memory, network_bytes,
};
pub use control::{Control, ControlError};
pub use copy::{Copy, CopyError, End, Files, copy};
pub use enter::EnterError;
pub use error::{Absent, LaunchError};
pub use exec::{Exec, ExecError, Executed, exec};
pub use files::skeleton;
pub use isolation::{
    CapabilityError, CapabilityName, Device, DeviceError, FilterError, Profile, ProfileError, Seccomp, Security,
    SecurityOption, SecurityOptionError,
};
pub use launch::Launched;
pub use life::Life;
pub use monitor::{Job, Starter};
pub use mounts::{
    Bind, Mount, MountError, MountKind, MountPoint, Mounts, Propagation, SHM_SIZE, SizeError, Submounts, Tmpfs,
    VolumeMount, VolumeName, bytes, gather, inherited, record,
};
pub use network::{Attachment, Network, NetworkError, NetworkSettings};
pub use plan::{Access, First, Input, Isolation, Plan, Runtime, Sandbox};
pub use relay::host_window;
pub use resources::{Resources, Sysctl, SysctlError, Ulimit, UlimitError};
pub use restart::{NoPolicy, RestartPolicy};
pub use serve::{RunError, run};
pub use settings::{SETTINGS, Settings};
pub use spec::{Process, SpecError, Variable, Wishes};
pub use state::{State, Status};
pub use sweep::{left_over, sweep};
pub use top::processes;
