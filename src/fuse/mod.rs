//! The FUSE daemon: mounts a union and answers the kernel's requests. The only module that knows the FUSE protocol.
//!
//! This module does not know layers: each request becomes one call of [`Union`](crate::union::Union). Descriptors
//! belong to nodes, so open files need no handles. OPENDIR and FLUSH are answered `ENOSYS` once, and the kernel never
//! sends them again. The same holds for OPEN, except with passthrough, where the kernel itself reads and writes the
//! files of the layers.
//!
//! | module | owns | may use |
//! |---|---|---|
//! | `wire` | the bytes: the kernel's message layouts, a parser for requests, a writer for answers | – |
//! | `ops` | turns each request into calls of the union; the state between requests | `wire` |
//! | `transport` | receives requests, sends answers: the device, the rings, their threads | `ops`, `wire` |
//! | `session` | a mount, from mount(2) to its end | all |
//!
//! # Locks
//!
//! In `ops::opens`: first the lock of an open node, then the lock of its shard. The first is held during calls of the
//! union (whose locks come after it), ioctls and notices to the kernel. The second is never held during these, since
//! every lookup takes it. In `transport::pool`: one lock for the list of threads. The keeper takes it, and a thread
//! after a slow request; no thread holds it while it answers a request.
#![doc = include_str!("options.md")]
#![doc = include_str!("fuser.md")]

mod direct;
mod idle;
mod modes;
mod ops;
mod options;
mod session;
mod stats;
mod transport;
mod wire;

pub use direct::{Direct, NewDevice};
pub use modes::{Idle, Io, IoUring, TocUse};
pub use options::{OptionError, Options};
pub use session::{MountError, RemountError, Session, remount, unmount};
pub use stats::{Stats, StatsError, stats};
