//! What a mount was asked, and what the answers cost.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Threads that answer requests now, or wait for some.
    #[serde(default)]
    pub threads: u64,
    /// The most threads that there were at once.
    #[serde(default)]
    pub threads_most: u64,
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
    threads: AtomicU64,
    threads_most: AtomicU64,
}

/// A thread that is counted among those of a mount while this lives.
#[derive(Debug)]
pub(super) struct CountedThread<'a>(&'a Counters);

impl Drop for CountedThread<'_> {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// Counts a request that this thread begins to answer, and what it does for that.
    pub(super) fn begin(&self, opcode: Opcode) {
        self.requests.add(opcode as usize);
        self.calls.bind();
    }

    pub(super) fn stats(&self, io_uring: bool) -> Stats {
        Stats {
            io_uring,
            threads: self.threads.load(Ordering::Relaxed),
            threads_most: self.threads_most.load(Ordering::Relaxed),
            requests: self.requests.by_name(&NAMES),
            syscalls: self.calls.by_name(),
        }
    }

    /// Counts a thread.
    pub(super) fn thread(&self) -> CountedThread<'_> {
        let now = self.threads.fetch_add(1, Ordering::Relaxed) + 1;
        self.threads_most.fetch_max(now, Ordering::Relaxed);
        CountedThread(self)
    }
}
