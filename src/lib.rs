//! Overfuse: a union filesystem for container images, in pure userspace.
//!
//! It has three parts. A FUSE daemon resolves each name top-down across read-only layer directories and one writable
//! upper directory, copies a file up at its first change, and records removals as whiteouts. An image store turns OCI
//! images into such directories. A launcher runs a process in the mount.
//!
//! # Reading order
//!
//! | module | owns | may use |
//! |---|---|---|
//! | [`sys`] | every system call; the only place with `unsafe`, `libc`, `rustix` or `io_uring` | – |
//! | [`privilege`] | the ids and rights of this process: user namespaces, id maps, subordinate ids | `sys` |
//! | [`image`] | the formats of images, without any disk access: names, digests, manifests, configurations | – |
//! | [`layer`] | one directory tree, and what its marks mean; upper layers use the kernel's own overlay format | `sys` |
//! | [`union`] | what a stack of layers shows, and how it changes; knows nothing of FUSE | `layer`, `sys` |
//! | [`fuse`] | answers the kernel's requests from a union; the only module that knows the protocol | `union`, `sys` |
//! | [`tar`](mod@tar) | packs a tree as an archive, and unpacks an archive as a layer | `layer`, `sys` |
//! | [`store`] | blobs, unpacked layers, images and containers on disk | `image`, `tar`, `layer`, `sys` |
//! | [`mount`] | makes a live mount from directories, an image or a container, and runs the process that serves it | `store`, `fuse`, `union`, `layer`, `privilege`, `image`, `sys` |
//! | [`container`] | runs a process in its own root directory: its rights, and its exit status | `mount`, `store`, `tar`, `image`, `privilege`, `sys` |
//! | [`build`] | builds images from Dockerfiles | `container`, `mount`, `store`, `union`, `privilege`, `tar`, `image`, `layer`, `sys` |
//! | [`trace`] | reports which files of an image were read, and how much of the whole image that is | `union`, `layer`, `sys` |
//! | [`mod@bench`] | measures union filesystems side by side: workloads, subjects, reports and their pages | `mount`, `fuse`, `union`, `layer`, `sys` |
//! | [`cli`] | the command line: the only module that prints or reads the environment | all |
//!
//! `tests/architecture.rs` reads this table and fails if a module uses one that the table does not allow.
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
//! | mark | a private extended attribute in which a layer keeps union metadata of a file |
//! | whiteout | an entry that says that a name of the layers below is gone |
//! | opaque | said of a directory that hides directories of its name in the layers below |
//! | redirect | a mark: the name or path under which the layers below have what this entry continues |
//! | metacopy | a mark: this file has attributes only; a lower layer has its data |
//! | copy-up | to copy a lower file into the upper layer before its first change |
//! | stage | to build a change in the work directory before one rename publishes it |
//! | hardlink index | a directory in the work directory: all hard links to a lower file stay one file after its copy-up |
//! | toc | a layer's table of contents, which answers lookups and listings instead of the layer's directories |
//! | verdict | what one layer says of one name: nothing, whiteout or entry ([`layer::Verdict`]) |
//! | resolved | what all layers together say of one name ([`layer::Resolved`]) |
//! | lookup | a search for one name in a directory, a layer or all layers |
//! | node | a file or directory of the union while the kernel knows it; its number is what users see |
//! | digest | the SHA-256 of a blob as it is stored or sent |
//! | diff ID | the digest of a layer's uncompressed archive; names the unpacked layer |
//! | chain ID | a digest over the diff IDs of a layer and all below it |
//!
//! # Data flow
//!
//! Data flows through the modules on four paths, each in one direction:
//!
//! ```text
//! request → reply      kernel → fuse → union → layer → sys → (back)
//! archive → process    archive → image → tar → store → mount (union, fuse::Session) → container → status
//! upper → image        layer (marks decoded) → tar (changes, pack) → store (blob, manifest) → image
//! Dockerfile → image   build (parse, evaluate) → container (RUN) or union (COPY) → tar → store → image
//! ```
//!
//! # Invariants and decisions
//!
//! - No path from an image is resolved on the host: every step below a layer is `openat2` beneath a [`sys::Dir`], without
//!   following links.
//! - Lower layers are never written: [`layer::LowerLayer`] has no method that writes.
//! - A change of the upper layer needs a token that only `union::copy_up` makes, so that code without the copy-up does not
//!   compile.
//! - Every change is built in the work directory and published by one rename: a killed process leaves either the old state
//!   or the new.
//! - Descriptors belong to nodes, not to open handles. Reads and writes go to the layer that has the content now, so that a
//!   file stays one file over its copy-up.
//! - A layer of the store has a table of contents ([`layer::toc`]) that answers instead of its directories, so that the cost
//!   of a lookup does not grow with the number of layers. A missing, damaged or outdated table is written again or ignored,
//!   never used.
//! - The FUSE protocol and its request loops are our own, not those of the crate fuser: a reply is built in the buffer that
//!   is sent, and requests can come through io_uring as well as through the device.
//! - Four fifths of the time of a request are spent waking threads. So [`fuse`] can let idle CPUs poll while requests come,
//!   and drops a cached listing that makes its reader look up each entry.
//! - Contents of an image or archive never cause a panic, and never decide the size of an allocation unchecked.
//!
//! Deliberately absent: a daemon that outlives its mounts, a configuration file, and any state outside the store.
#![warn(missing_debug_implementations, missing_docs, unreachable_pub)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod bench;
pub mod build;
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
