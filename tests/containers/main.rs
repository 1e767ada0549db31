//! `overfuse run` as root, as a user with subordinate ids, and as one without: what a command in a container sees, what
//! it passes to the outside, and what it leaves behind.
#![allow(clippy::expect_used, clippy::unwrap_used, unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod bundle;
mod cp;
mod environment;
mod escapes;
mod exec;
mod exit_status;
mod files;
mod host;
mod image;
mod labels;
mod left_behind;
mod network;
mod resources;
mod signals;
mod tables;
mod terminal;
mod top;
mod trace;
mod users;
mod virtual_ids;
mod volumes;
