//! Statistics of a mount: its requests, the system calls that they took, and its threads.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::sys::xattr::{self, Of};
use crate::sys::{Calls, Dir, Errno, Tally};

use super::wire::opcode::{NAMES, Opcode};

/// The xattr of a mount's root that holds its [`Stats`]. It is not stored on disk and not listed.
pub(super) const KEY: &str = "overfuse.stats";

/// Counts since the mount was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Whether the requests that programs wait for come by io_uring.
    #[serde(default)]
    pub io_uring: bool,
    /// How many threads answer requests or wait for them.
    #[serde(default)]
    pub threads: u64,
    /// The most threads that there were at once.
    #[serde(default)]
    pub threads_most: u64,
    /// The kernel's requests, by their names in the FUSE protocol.
    pub requests: BTreeMap<String, u64>,
    /// The system calls on layers and the upper directory. Not counted are `close` and those that read requests and
    /// write answers.
    pub syscalls: BTreeMap<String, u64>,
}

/// Why there are no statistics.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum StatsError {
    #[error("not the root of an Overfuse mount")]
    NotAMount,
    #[error("unknown answer: another version of Overfuse serves this mount")]
    Unknown,
    #[error(transparent)]
    Kernel(#[from] Errno),
}

/// The statistics of the mount at `at`.
///
/// # Errors
/// When `at` is not the root of an Overfuse mount.
pub fn stats(at: &Path) -> Result<Stats, StatsError> {
    let dir = Dir::open_host(at)?;
    let answer = xattr::get(Of::Dir(&dir), KEY.as_ref())?.ok_or(StatsError::NotAMount)?;
    serde_json::from_slice(&answer).map_err(|_| StatsError::Unknown)
}

/// The counters of one mount.
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: Tally<{ NAMES.len() }>,
    calls: Arc<Calls>,
    threads: AtomicU64,
    threads_most: AtomicU64,
}

/// Counts one thread of a mount while this lives.
#[derive(Debug)]
pub(super) struct CountedThread<'a>(&'a Counters);

impl Drop for CountedThread<'_> {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// Counts a request that this thread begins to answer, and the system calls that the thread then makes.
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

    /// Counts a thread until the returned value is dropped.
    pub(super) fn thread(&self) -> CountedThread<'_> {
        let now = self.threads.fetch_add(1, Ordering::Relaxed) + 1;
        self.threads_most.fetch_max(now, Ordering::Relaxed);
        CountedThread(self)
    }
}
