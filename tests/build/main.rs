//! `overfuse build`: what each instruction does to files and configuration, what is done again and what is not, and what
//! bad input gets; as root, as a user with subordinate ids, and as one without.
#![allow(clippy::expect_used, clippy::unwrap_used, unsafe_code)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../containers/host.rs"]
#[allow(dead_code, reason = "shared with the tests of containers")]
mod host;
#[path = "../containers/image.rs"]
#[allow(dead_code, reason = "shared with the tests of containers")]
mod image;

mod bad_input;
mod cache;
mod instructions;
mod site;
mod stages;
