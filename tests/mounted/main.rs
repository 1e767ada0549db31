//! Overfuse as a mounted file system, operation by operation, against kernel overlayfs.

#[path = "../support/mod.rs"]
mod support;

mod attributes;
mod copy_up;
mod create;
mod first_test;
mod hard_links;
mod harness;
mod holes;
mod in_namespace;
mod inodes;
mod link;
mod lookup;
mod metacopy;
mod mkdir;
mod mknod;
mod mmap;
mod open_files;
mod permissions;
mod read_only;
mod readdir;
mod redirect;
mod rename;
mod rmdir;
mod statfs;
mod symlink;
mod threads;
mod truncate;
mod unlink;
mod write;
mod xattr;
