//! Tests of the commands through the command line.
#![allow(clippy::expect_used, clippy::unwrap_used, unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../images/parcel.rs"]
#[allow(dead_code)]
mod parcel;

mod bad_input;
mod bench;
mod changes;
mod containers;
mod demo;
mod desk;
mod images;
mod lifecycle;
mod place;
mod podman;
mod stats;
mod volumes;
