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
mod child;
mod command;
mod control;
mod error;
mod files;
mod init;
mod isolation;
mod launch;
mod life;
pub mod log;
mod monitor;
mod mounts;
mod plan;
mod relay;
mod restart;
mod rootfs;
mod serve;
mod settings;
mod spec;
mod state;
mod virtual_ids;

pub use account::{Identity, UnknownAccount, UserSpec};
pub use attach::{Attach, DetachKeys, Left, NoKeys};
pub use control::{Control, ControlError};
pub use error::{Absent, LaunchError};
pub use files::skeleton;
pub use isolation::{
    Device, DeviceError, FilterError, Profile, ProfileError, Seccomp, Security, SecurityOption, SecurityOptionError,
};
pub use launch::Launched;
pub use life::Life;
pub use monitor::{Job, Starter};
pub use mounts::{
    Bind, Mount, MountError, MountKind, MountPoint, Mounts, Propagation, SHM_SIZE, SizeError, Submounts, Tmpfs,
    VolumeMount, VolumeName, bytes, gather, inherited,
};
pub use plan::{Access, First, Input, Isolation, Network, Plan, Sandbox};
pub use relay::host_window;
pub use restart::{NoPolicy, RestartPolicy};
pub use serve::{RunError, run};
pub use settings::{SETTINGS, Settings};
pub use spec::{Process, SpecError, Variable, Wishes};
pub use state::{State, Status};
