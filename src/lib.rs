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
//! | [`image`] | the formats of images, without disk: names, digests, manifests, configurations | – |
//! | [`layer`] | one directory tree, and what its marks mean; upper layers are the kernel's own overlay format | `sys` |
//! | [`union`] | what a stack of layers shows, and how it changes; knows nothing of FUSE | `layer`, `sys` |
//! | [`fuse`] | the kernel's requests, answered by a union; the only module that knows the protocol | `union`, `sys` |
//! | [`tar`](mod@tar) | a tree as an archive, and an archive as a layer | `layer`, `sys` |
//! | [`store`] | blobs, unpacked layers, images and containers on disk | `image`, `tar`, `layer`, `sys` |
//! | [`mount`] | the way from directories, an image or a container to a live mount, and the process that serves it | `store`, `fuse`, `union`, `layer`, `privilege`, `image`, `sys` |
//! | [`container`] | a process in a root directory of its own: what it may do, and how it ends | `mount`, `store`, `tar`, `image`, `privilege`, `sys` |
//! | [`trace`] | what was read of an image, and how much there was to read | `union`, `layer`, `sys` |
//! | [`mod@bench`] | union filesystems measured side by side: workloads, subjects, reports and their pages | `mount`, `fuse`, `union`, `layer`, `sys` |
//! | [`cli`] | the command line: the only module that prints or reads the environment | all |
//!
//! `tests/architecture.rs` reads this table and fails for a use that it does not allow.
//!
//! # For users
//!
//! | what | where |
//! |---|---|
//! | each promise of the union, what its peers do, and the test that holds it | [`union`] |
//! | the same for layers that other programs wrote | [`layer`] |
//! | every mount option | [`fuse`] |
//! | what `load` takes, and what the store holds | [`store`] |
//! | which files of an image a start reads | [`trace`] |
//! | how `overfuse bench` measures, and every row measured | [`mod@bench`] |
//!
//! # Words
//!
//! | word | means |
//! |---|---|
//! | layer | one directory tree; an image's layers are read only |
//! | upper, lower | the layer that takes changes; a layer below it, which never changes |
//! | stack | the layers of one union, newest first |
//! | mark | a private extended attribute by which a layer says more than its files do |
//! | whiteout | an entry that says that a name of the layers below is gone |
//! | opaque | of a directory: those of its name in the layers below are hidden |
//! | redirect | a mark: under which name or path the layers below have what this continues |
//! | metacopy | a mark: this file has attributes only, its data is below |
//! | copy-up | to bring a lower file into the upper layer before it changes |
//! | stage | to build a change in the work directory before one rename publishes it |
//! | hardlink index | the directory in the work directory that keeps the names of one lower file one file after its copy-up |
//! | toc | a layer's table of contents: answers in place of the layer |
//! | verdict | what one layer says of one name: nothing, whiteout or entry ([`layer::Verdict`]) |
//! | resolved | what all layers together say of it ([`layer::Resolved`]) |
//! | lookup | to ask a directory, a layer or all layers for a name |
//! | node | a file or directory of the union while the kernel knows it; its number is what users see |
//! | digest | the SHA-256 of a blob as it is stored or sent |
//! | diff ID | the digest of a layer's archive in the clear; names the unpacked layer |
//! | chain ID | a digest over the diff IDs of a layer and all below it |
//!
//! # The three ways
//!
//! Data takes three ways through the house, each in one direction:
//!
//! ```text
//! request → reply      kernel → fuse → union → layer → sys → (back)
//! archive → process    archive → image → tar → store → mount (union, fuse::Session) → container → status
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
//! - A layer of the store has a table of contents ([`layer::toc`]), which answers in its place: what it costs to look
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
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod bench;
pub mod cli;
pub mod container;
pub mod fuse;
pub mod image;
pub mod layer;
pub mod mount;
pub mod privilege;
pub mod store;
pub mod sys;
pub mod tar;
pub mod trace;
pub mod union;
