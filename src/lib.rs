//! Overfuse: a union filesystem for container images, in pure userspace.
//!
//! A FUSE daemon that resolves each name top-down across read-only layer directories and one writable upper
//! directory, copies a file up at its first change, and records removals as whiteouts; an image store that
//! turns OCI images into such directories; and a launcher that runs a process in the mount.
//!
//! # Reading order
//!
//! | module | owns | may use |
//! |---|---|---|
//! | [`sys`] | every system call; the only place with `unsafe`, `libc`, `rustix` or `io_uring` | – |
//! | [`privilege`] | who this process is and may become: user namespaces, id maps, subordinate ids | `sys` |
//! | [`layer`] | one directory tree, and what its marks mean; upper layers are the kernel's own overlay format | `sys` |
//! | [`union`] | what a stack of layers shows, and how it changes; knows nothing of FUSE | `layer`, `sys` |
//! | [`fuse`] | the kernel's requests, answered by a union; the only module that knows the protocol | `union`, `sys` |
//! | [`mod@bench`] | union filesystems measured side by side: workloads, subjects, reports and their pages; what was read of an image | `fuse`, `union`, `layer`, `sys` |
//! | [`cli`] | the command line: the only module that prints or reads the environment | all |
//!
//! # For users
//!
//! | what | where |
//! |---|---|
//! | each promise of the union, what its peers do, and the test that holds it | [`union`] |
//! | the same for layers that other programs wrote | [`layer`] |
//! | every mount option | [`fuse`] |
//! | what `load` takes, and what the store holds | [`store`] |
//! | how `overfuse bench` measures, and every row measured | [`mod@bench`] |
//!
//! # The three ways
//!
//! Data takes three ways through the house, each in one direction:
//!
//! ```text
//! request → reply      kernel → fuse → union → layer → sys → (back)
//! archive → process    archive → image → tar → store → layer::Stack → union → fuse::Session → container → status
//! upper → image        layer (marks decoded) → tar (changes, pack) → store (blob, manifest) → image
//! ```
//!
//! # What holds
//!
//! - No path from an image is resolved on the host: every step below a layer is `openat2` beneath a
//!   [`sys::Dir`], without following links.
//! - Lower layers are never written: [`layer::LowerLayer`] has no method that could.
//! - Nothing in the upper layer changes without a token that only `union::copy_up` makes, so that a
//!   forgotten copy-up does not compile.
//! - Every change is built in the work directory and published by one rename: a process that is killed
//!   leaves the old state or the new.
//! - Descriptors belong to nodes, not to open handles: a read or write goes to wherever the content lives
//!   now, so that one file stays one file over its copy-up.
//! - A layer of the store has a table of contents ([`layer::contents`]), which answers in its place: what it costs to look
//!   something up does not grow with the layers. One that is missing, damaged or older than its layer is written anew or
//!   passed over, never believed.
//! - The protocol of FUSE and its loops are our own, not the crate fuser's: an answer is put together where it is sent
//!   from, and requests can come by io_uring as well as by the device.
//! - Four fifths of a request are waking: [`fuse`] can have idle CPUs poll while requests come, and takes away a kept listing
//!   that makes its reader ask for each entry.
//! - What an image or archive holds decides neither a panic nor the size of an allocation unchecked.
//!
//! Deliberately absent: a daemon that outlives its mounts, a configuration file, and any state but the store's.
#![warn(missing_debug_implementations, unreachable_pub)]

pub mod bench;
pub mod cli;
pub mod container;
pub mod fuse;
pub mod image;
pub mod layer;
pub mod privilege;
pub mod store;
pub mod sys;
pub mod tar;
pub mod union;
