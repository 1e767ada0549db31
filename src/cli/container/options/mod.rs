//! The options that `create`, `run` and `trace` have in common, by what they are about.

mod labels;
mod life;
mod network;
mod owners;
mod security;
mod volumes;

pub(super) use labels::{LabelArgs, lines_of};
pub(super) use life::{LifeArgs, signal};
pub(super) use network::NetworkArgs;
pub(super) use owners::OwnerArgs;
pub(super) use security::SecurityArgs;
pub(super) use volumes::VolumeArgs;
