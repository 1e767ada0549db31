//! Measuring union filesystems side by side: `overfuse bench` and `benches/` stand on this.
//!
//! Owns what is measured (workloads), on whom (subjects, each a process of its own), in which order, and what the
//! figures mean. [`result`] is the shape of a report, which `--json` writes and `--baseline` reads; [`statistics`]
//! says how sure a figure is, [`html`] makes a page of a report. Prints nothing.

mod chart;
pub mod html;
pub mod number;
pub mod result;
pub mod statistics;
pub mod trace;

pub use result::Report;
