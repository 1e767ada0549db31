//! The log of a container: what its command printed, kept in the container's directory.
//!
//! ```text
//!   log.json      {"log":"a line\n","stream":"stdout","time":"2026-01-02T03:04:05.678901234Z"}   docker's format
//!   log.json.1    the file before it, when the log has a largest size; then log.json.2, and so on
//! ```
//!
//! One record for each line. A line of more than 16 KiB takes several records, of which only the last ends in a newline.
//! Bytes that are not UTF-8 are replaced, as docker does. The monitor is the only writer; readers need no lock.

mod moment;
mod read;
mod write;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use moment::{MomentError, moment};
pub use read::{Query, Reader, Record};
pub use write::Writer;

/// The longest text of one record, in bytes.
const TEXT_MAX: usize = 16 << 10;

/// How a container's log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogSettings {
    /// False for `--log-driver none`.
    pub kept: bool,
    /// The largest size of a file, in bytes; `None`: the log grows without limit, as in docker.
    pub max_size: Option<u64>,
    /// How many files there are at most, once they have a largest size.
    pub max_files: u32,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { kept: true, max_size: None, max_files: 1 }
    }
}

/// Which output of the command. A terminal has one output only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// The newest file of the log of the container with the directory `dir`.
pub fn path(dir: &Path) -> PathBuf {
    dir.join("log.json")
}

/// The file that was the newest `age` rotations ago.
fn rotated(dir: &Path, age: u32) -> PathBuf {
    match age {
        0 => path(dir),
        _ => dir.join(format!("log.json.{age}")),
    }
}
