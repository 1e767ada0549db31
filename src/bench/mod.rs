//! Measuring union filesystems side by side: `overfuse bench` and `benches/` stand on this.
//!
//! Owns what is measured (workloads), on whom (subjects, each a process of its own), in which order, and what the
//! figures mean. [`result`] is the shape of a report, which `--json` writes and `--baseline` reads; [`statistics`]
//! says how sure a figure is. Prints nothing.

pub mod result;
pub mod statistics;

pub use result::Report;
