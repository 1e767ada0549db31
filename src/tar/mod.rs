//! Layers as archives: a tar stream into a directory tree and back.
//!
//! [`unpack`] takes hostile input and makes a lower layer of it, [`pack`] makes an OCI layer of an
//! upper directory, [`changes`] tells what an upper directory changes. OCI's whiteout names and the
//! marks of overlay are translated here, both ways. No name from an archive is resolved outside the
//! directory given; nothing here knows of stores, digests or compression.

mod attributes;
mod changes;
mod entry;
mod error;
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
pub use changes::{Change, ChangeKind, changes};
pub use error::Error;
pub use members::{Member, MemberKind, Members};
pub use pack::pack;
pub use unpack::{Unpacked, unpack};
