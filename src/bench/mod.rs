//! Measuring union filesystems side by side: `overfuse bench` and `benches/` stand on this.
//!
//! Owns what is measured (workloads), on whom (subjects, each a process of its own), in which order, and what the
//! figures mean. [`result`] is the shape of a report, which `--json` writes and `--baseline` reads; [`statistics`]
//! says how sure a figure is, [`html`] makes a page of a report. [`mod@trace`] counts
//! how much of an image was read. Prints nothing.
#![doc = include_str!("measured.md")]

pub mod baseline;
mod chart;
mod clock;
mod gather;
pub mod html;
mod machine;
mod mounted;
pub mod number;
mod program;
pub mod result;
mod run;
pub mod statistics;
mod subject;
pub mod trace;
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
