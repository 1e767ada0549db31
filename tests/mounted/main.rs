//! Overfuse as a mounted file system, operation by operation, against kernel overlayfs.

#[path = "../support/mod.rs"]
mod support;

mod attributes;
mod copy_up;
mod create;
mod databases;
mod first_test;
mod hard_links;
mod harness;
mod holes;
mod in_namespace;
mod inodes;
mod large_directories;
mod link;
mod locks;
mod lookup;
mod metacopy;
mod mkdir;
mod mknod;
mod mmap;
mod open_files;
mod page_cache;
mod permissions;
mod read_only;
mod readdir;
mod redirect;
mod rename;
mod requests;
mod rights;
mod rmdir;
mod set_id;
mod space;
mod special;
mod statfs;
mod symlink;
mod threads;
mod times;
mod truncate;
mod unlink;
mod unlinked;
mod watch;
mod write;
mod xattr;
