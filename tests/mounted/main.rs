//! Overfuse as a mounted file system, operation by operation, against kernel overlayfs.

#[path = "../support/mod.rs"]
mod support;

mod harness;
mod lookup;
