//! Tests of the store: loading, refusing bad input, keeping and removing.
#![allow(clippy::expect_used, clippy::unwrap_used, unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod command;
mod commit;
mod containers;
mod deep;
mod faults;
mod load;
mod many_layers;
mod names;
mod parcel;
mod refused;
mod remove;
mod shelf;
mod tables;
mod volumes;
