//! Commands, as somebody who types them sees them.

#[path = "../support/mod.rs"]
mod support;

#[path = "../images/parcel.rs"]
#[allow(dead_code)]
mod parcel;

mod changes;
mod demo;
