//! Published escapes from containers, each with a harmless payload: what worked elsewhere must not work here.
//!
//! Those of `docker cp` (CVE-2019-14271, CVE-2018-15664, CVE-2026-17106) and of builders concern commands that there are
//! not.

mod calls;
mod devices;
mod kernel;
mod mounts;
mod own_program;
mod probe;
mod working_directory;
