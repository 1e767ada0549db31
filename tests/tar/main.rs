//! Layers as archives: ordinary and hostile ones, and the way there and back.

#[path = "../support/mod.rs"]
mod support;

mod archive;
mod hostile;
mod unpack;
