//! Layers as tar archives: packing, unpacking, round trips, and hostile input.
#![allow(clippy::expect_used, clippy::unwrap_used, unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

mod archive;
mod changes;
mod hostile;
mod pack;
mod round_trip;
mod unpack;
