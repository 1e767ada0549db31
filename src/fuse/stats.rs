//! What a mount was asked, and what the answers cost.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sys::xattr::{self, Of};
use crate::sys::{Calls, Dir, Errno, Tally};

use super::wire::opcode::{NAMES, Opcode};

/// The attribute of a mount's root by which it answers its [`Stats`]. No file has it; it is in no list.
pub(super) const KEY: &str = "overfuse.stats";

/// Counts since the mount was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Whether the requests of programs come by io_uring.
    #[serde(default)]
    pub io_uring: bool,
    /// The kernel's requests, by the names that its FUSE protocol gives them.
    pub requests: BTreeMap<String, u64>,
    /// System calls on layers and the upper directory that answering took. Not among them are those that read
    /// requests and write answers, and `close`.
    pub syscalls: BTreeMap<String, u64>,
}

/// Why there are no counts.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    #[error("not the root of an Overfuse mount")]
    NotAMount,
    #[error("unknown answer: another version of Overfuse serves this mount")]
    Unknown,
    #[error(transparent)]
    Kernel(#[from] Errno),
}

/// The counts of the mount at `at`.
///
/// # Errors
/// When no mount of ours is there.
pub fn stats(at: &Path) -> Result<Stats, StatsError> {
    let dir = Dir::open_host(at)?;
    let answer = xattr::get(Of::Dir(&dir), KEY.as_ref())?.ok_or(StatsError::NotAMount)?;
    serde_json::from_slice(&answer).map_err(|_| StatsError::Unknown)
}

/// The counts of one mount, while it is served.
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: Tally<{ NAMES.len() }>,
    calls: Arc<Calls>,
}

impl Counters {
    /// Counts a request that this thread begins to answer, and what it does for that.
    pub(super) fn begin(&self, opcode: Opcode) {
        self.requests.add(opcode as usize);
        self.calls.bind();
    }

    pub(super) fn stats(&self, io_uring: bool) -> Stats {
        Stats { io_uring, requests: self.requests.by_name(&NAMES), syscalls: self.calls.by_name() }
    }
}
