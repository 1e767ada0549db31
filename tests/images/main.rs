//! The store: what is loaded, what is refused, what is kept, and what is removed.

#[path = "../support/mod.rs"]
mod support;

mod command;
mod commit;
mod containers;
mod faults;
mod load;
mod many_layers;
mod parcel;
mod refused;
mod remove;
mod shelf;
mod tables;
