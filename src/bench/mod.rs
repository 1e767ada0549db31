//! Measures union filesystems side by side; `overfuse bench` and `benches/` use this.
//!
//! Owns what is measured (workloads), which file systems are measured (subjects), the order of the measurements, and
//! the statistics. [`result`] is the format of a report, which `--json` writes and `--baseline` reads; [`statistics`]
//! computes medians and intervals; [`html`] makes a page of a report. Prints nothing.
#![doc = include_str!("measured.md")]

pub mod baseline;
mod chart;
mod clock;
mod gather;
pub mod html;
mod machine;
mod markup;
mod mounted;
pub mod number;
mod program;
pub mod result;
mod run;
pub mod statistics;
mod subject;
pub mod tree;
mod worker;
pub mod workload;

pub use clock::{Clock, Part};
pub use result::Report;
pub use run::{Error, Observer, Plan, Stopped, check_directory, overlayfs_refused, run};
pub use subject::{Kind, Subject, User};
pub use tree::Tree;
pub use worker::Work;
pub use workload::Scale;
