//! `idle=poll`: keeps idle CPUs from sleeping while requests come.
//!
//! Between a request and its answer the CPU of the calling program is idle; between an answer and the next request the
//! answering thread's CPU is. An idle CPU sleeps, and waking it takes longer than most answers, above all for a virtual
//! CPU, which its host has to wake. A CPU that polls instead reacts at once, but it uses power that other CPUs could
//! use.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::sys::{CpuLatency, Result};

/// CPUs poll after so many requests, and go on while as many come in each [`SPELL`].
const BUSY: u32 = 16;
const SPELL: Duration = Duration::from_millis(4);

/// Makes idle CPUs poll while many requests come.
#[derive(Debug)]
pub(super) struct IdlePolling {
    latency: CpuLatency,
    /// The requests since the last spell began.
    requests: AtomicU32,
    polling: AtomicBool,
    over: AtomicBool,
    /// The thread that keeps the time.
    keeper: OnceLock<Thread>,
}

impl IdlePolling {
    /// # Errors
    /// As `open(2)`; `EACCES` unless the process is the host's root.
    pub(super) fn new() -> Result<IdlePolling> {
        Ok(IdlePolling {
            latency: CpuLatency::open()?,
            requests: AtomicU32::new(0),
            polling: AtomicBool::new(false),
            over: AtomicBool::new(false),
            keeper: OnceLock::new(),
        })
    }

    /// Counts a request.
    pub(super) fn request(&self) {
        let now = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if now >= BUSY
            && !self.polling.load(Ordering::Relaxed)
            && !self.polling.swap(true, Ordering::AcqRel)
            && let Some(keeper) = self.keeper.get()
        {
            keeper.unpark();
        }
    }

    /// Runs `serve`, which answers requests, with the keeper beside it.
    pub(super) fn during<T>(&self, serve: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            // If the thread cannot start, CPUs sleep as usual.
            let keeper = thread::Builder::new().spawn_scoped(scope, || self.keep_time());
            let result = serve();
            self.over.store(true, Ordering::Release);
            if let Ok(keeper) = keeper {
                keeper.thread().unpark();
            }
            result
        })
    }

    fn keep_time(&self) {
        // There is only one keeper, so this cannot fail.
        let _ = self.keeper.set(thread::current());
        while !self.over.load(Ordering::Acquire) {
            if !self.polling.load(Ordering::Acquire) {
                thread::park();
                continue;
            }
            self.poll(true);
            while self.requests.swap(0, Ordering::Relaxed) >= BUSY && !self.over.load(Ordering::Acquire) {
                thread::sleep(SPELL);
            }
            self.poll(false);
            self.polling.store(false, Ordering::Release);
        }
    }

    fn poll(&self, poll: bool) {
        if let Err(error) = self.latency.poll(poll) {
            tracing::debug!(%error, "idle CPUs keep their mode");
        }
    }
}
