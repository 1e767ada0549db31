//! Published escapes from containers, each with a harmless payload: an escape from another launcher must not work here.
//!
//! Escapes from builders (CVE-2024-1753, CVE-2024-9407, CVE-2024-9675, CVE-2024-9676, CVE-2026-44517) need instructions
//! that mount while an image is built. Overfuse has none; the tests in `mounts` and `copy` cover mounts and copies.

mod calls;
mod copy;
mod devices;
mod exec;
mod kernel;
mod mounts;
mod own_program;
pub(crate) mod probe;
mod volumes;
mod working_directory;
