//! Builds images from Dockerfiles.
//!
//! ```text
//!   text ──parse──► Dockerfile (stages of instructions, nothing expanded)
//! ```
//!
//! [`parse`](mod@parse) is pure: it reads no file, no environment and no store.

pub mod parse;
