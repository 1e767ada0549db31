//! Builds images from Dockerfiles.
//!
//! ```text
//!   text ──parse──► Dockerfile ──plan──► stages that the target needs
//!   instruction + configuration ──evaluate──► new configuration, Step ──files, run──► upper ──store──► image
//! ```
//!
//! [`parse`](mod@parse) and what an instruction means are pure: they read no file, no environment and no store.

mod builder;
mod copy;
mod document;
mod error;
mod evaluate;
mod ignore;
pub mod parse;
mod pattern;
mod run;
mod tree;
mod work;

pub use builder::{Build, Event, FindImage};
pub use error::{BuildError, StepError};
