//! Layers as archives: a tar stream into a directory tree and back.
//!
//! [`unpack`] turns an untrusted archive into a lower layer. [`pack`] turns an upper directory into an OCI layer.
//! [`changes`] lists what an upper directory changes. [`archive()`] and [`extract()`] copy ordinary files out of and into a
//! live tree. OCI's whiteout names and overlayfs's marks are translated in both
//! directions. No name from an archive is resolved outside the given directory. This module knows nothing of stores,
//! digests or compression.

mod archive;
mod attributes;
mod changes;
mod entry;
mod error;
mod extract;
mod members;
mod number;
mod pack;
mod path;
mod pax;
mod reader;
mod sparse;
mod tree;
mod unpack;
mod writer;

pub use crate::layer::Over;
pub use archive::archive;
pub use changes::{Change, ChangeKind, changes};
pub use error::Error;
pub use extract::{Devices, Owner, extract};
pub use members::{Member, MemberKind, Members};
pub use pack::{pack, pack_until};
pub use unpack::{Unpacked, unpack};
