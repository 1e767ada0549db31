//! Published escapes from containers, each with a harmless payload: an escape from another launcher must not work here.
//!
//! Escapes through `docker cp` (CVE-2019-14271, CVE-2018-15664, CVE-2026-17106) and through builders are not tested,
//! since Overfuse has no such commands.

mod calls;
mod devices;
mod kernel;
mod mounts;
mod own_program;
mod probe;
mod volumes;
mod working_directory;
