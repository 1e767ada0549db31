//! A union filesystem for container images in pure userspace.
#![warn(missing_debug_implementations, unreachable_pub)]

pub mod cli;
pub mod container;
pub mod fuse;
pub mod image;
pub mod layer;
pub mod store;
pub mod sys;
pub mod tar;
pub mod union;
