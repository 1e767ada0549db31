//! The way from directories, an image or a container to a live mount, and the process that serves it.
//!
//! ```text
//!   Source + Options ──Plan──┬─hold──► Live    in view of the user, until somebody unmounts
//!                            └─prepare─► Prepared ─serve─► Served    in a mount namespace, while a container runs
//! ```
//!
//! Every command that mounts goes this way. Decided here, and nowhere else: which layers, in which order, with which
//! tables of contents; as whose files are shown; which permission checks the kernel is to make; which user namespace
//! serves; what may not be removed while the mount lives.
//!
//! Knows nothing of the command line and nothing of what a container does with its root.

mod daemon;
mod error;
mod live;
mod named;
mod plan;
mod served;
mod unmount;

pub use error::Error;
pub use named::{Named, named};
pub use plan::{Holder, Plan, Prepared, Source, options};
pub use served::Served;
pub use unmount::{UnmountError, unmount};
