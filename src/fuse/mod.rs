//! The kernel's FUSE requests, answered by a union. The only module that knows its protocol.
//!
//! Knows nothing of layers: each request becomes one call of [`Union`](crate::union::Union). Descriptors belong to
//! nodes, so OPENDIR and FLUSH, and OPEN unless the kernel itself is to read and write the files of the layers
//! (passthrough), are answered `ENOSYS` once and never asked again.
#![doc = include_str!("options.md")]

mod abi;
mod answer;
mod attributes;
mod connection;
mod content;
mod convert;
mod forgetting;
mod idle;
mod init;
mod kept_listings;
mod listing;
mod modes;
mod names;
mod opcode;
mod opens;
mod options;
mod request;
mod ring;
mod server;
mod session;
mod stats;

pub use modes::{Idle, Io, IoUring, LayerIndex};
pub use options::{OptionError, Options};
pub use session::{MountError, RemountError, Session, remount, unmount};
pub use stats::{Stats, StatsError, stats};
