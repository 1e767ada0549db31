//! The way from directories, an image or a container to a live mount, and the process that serves it.
//!
//! ```text
//!   Source + Options ──Plan──┬─hold──► Live    in the user's mount namespace, until it is unmounted
//!                            └─prepare─► Prepared ─serve─► Served    in a mount namespace, while a container runs
//! ```
//!
//! Every command that mounts uses this module. Only this module decides: which layers, in which order, with which
//! tables of contents; which owners files show; whether the kernel checks permissions; in which user namespace the
//! mount is served; what must not be removed while the mount is live.
//!
//! Knows nothing of the command line and nothing of what a container does with its root.

mod daemon;
mod error;
mod live;
mod named;
mod plan;
mod served;
mod unmount;

pub use crate::fuse::Options;
pub use error::Error;
pub(crate) use error::one_line;
pub use named::{Named, named};
pub use plan::{Holder, OwnersShown, Plan, Prepared, Source, options};
pub use served::Served;
pub use unmount::{UnmountError, unmount};

pub use crate::fuse::{Direct, NewDevice};
