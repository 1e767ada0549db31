//! The kernel's FUSE requests, answered by a union. The only module that knows its protocol.
//!
//! Knows nothing of layers: each request becomes one call of [`Union`](crate::union::Union). Descriptors belong to
//! nodes, so OPENDIR and FLUSH, and OPEN unless the kernel itself is to read and write the files of the layers
//! (passthrough), are answered `ENOSYS` once and never asked again.
//!
//! | module | owns | may use |
//! |---|---|---|
//! | `wire` | the bytes: messages as the kernel lays them out, requests taken apart, answers put together | – |
//! | `ops` | each request turned into calls of the union, and what must be remembered between requests for that | `wire` |
//! | `transport` | how requests come and answers go: the device, the rings, the threads that wait at both | `ops`, `wire` |
//! | `session` | a mount, from mount(2) to its end | all |
//!
//! # Locks
//!
//! In `ops::opens`: the lock of an open node → that of its shard. The first is held over calls of the union (whose locks
//! come after it), ioctls and notices to the kernel; the second never is, since every lookup takes it. In `transport::pool`:
//! one lock over the list of threads, taken after a slow request and by the keeper, and never while a request is answered.
#![doc = include_str!("options.md")]
#![doc = include_str!("fuser.md")]

mod idle;
mod modes;
mod ops;
mod options;
mod session;
mod stats;
mod transport;
mod wire;

pub use modes::{Idle, Io, IoUring, TocUse};
pub use options::{OptionError, Options};
pub use session::{MountError, RemountError, Session, remount, unmount};
pub use stats::{Stats, StatsError, stats};
