//! Shared by the integration tests: trees as text, comparisons that print diffs, mounts by the kernel and by Overfuse,
//! and operations with comparable outcomes.
//!
//! Every test crate includes this directory by path and uses the parts that it needs.
#![allow(dead_code, unused_imports, unused_macros)]

pub mod alone;
pub mod at;
pub mod check;
pub mod child;
pub mod namespace;
pub mod need;
pub mod scratch;
pub mod snapshot;
pub mod subject;
pub mod tree;

pub use alone::alone;
pub use at::{At, Outcome};
pub use check::{check, check_alone, check_read_only};
pub use namespace::{run_all_in_namespace, run_all_in_own_namespace};
pub use scratch::{copy_program, scratch};
pub use snapshot::{Snapshot, snapshot};
pub use subject::{Layers, Mounted, Subject, mount_with};
pub use tree::{build, build_at, show};
