//! Turns requests into calls of the union; one file for each kind of request.
//!
//! `server` has the table of requests and the code that all of them share. Nothing here depends on the transport.

mod attributes;
mod data;
mod listing;
mod names;
pub(super) mod opens;
pub(super) mod pending_forgets;
pub(super) mod readdir_cache;
pub(super) mod server;
