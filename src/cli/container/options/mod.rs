//! The options that `create`, `run` and `trace` have in common, by what they are about.

mod environment;
mod labels;
mod life;
mod network;
mod owners;
mod resources;
mod runtime;
mod security;
mod volumes;

pub(super) use environment::EnvironmentArgs;
pub(super) use labels::LabelArgs;
pub(super) use life::{LifeArgs, signal};
pub(super) use network::NetworkArgs;
pub(super) use owners::OwnerArgs;
pub(super) use resources::{LimitArgs, ResourceArgs};
pub(super) use runtime::RuntimeArgs;
pub(super) use security::SecurityArgs;
pub(super) use volumes::VolumeArgs;
