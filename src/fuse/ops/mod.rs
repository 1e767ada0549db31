//! Requests, turned into calls of the union; one file for each kind of them.
//!
//! `server` has the table of requests and what all of them share. Nothing here knows how a request came.

mod attributes;
mod data;
mod listing;
mod names;
pub(super) mod opens;
pub(super) mod pending_forgets;
pub(super) mod readdir_cache;
pub(super) mod server;
