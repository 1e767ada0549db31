//! CPUs that do not sleep while requests come.
//!
//! Between a request and its answer the CPU of whoever asks is idle, and between an answer and the next request that of
//! the thread that answers. An idle CPU sleeps, and waking it takes longer than most answers: a virtual one has to be
//! woken by its host. A CPU that polls instead is there at once, at the cost of power, and of what another CPU could
//! make of it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::sys::{CpuLatency, Result};

/// After so many requests CPUs poll, and they go on while as many come in each [`SPELL`].
const BUSY: u32 = 16;
const SPELL: Duration = Duration::from_millis(4);

/// Has idle CPUs poll while many requests come.
#[derive(Debug)]
pub(super) struct IdlePolling {
    latency: CpuLatency,
    /// Since the spell, or the last one, began.
    requests: AtomicU32,
    polling: AtomicBool,
    over: AtomicBool,
    /// The thread that keeps the time.
    keeper: OnceLock<Thread>,
}

impl IdlePolling {
    /// # Errors
    /// To all but root of the host.
    pub(super) fn new() -> Result<IdlePolling> {
        Ok(IdlePolling {
            latency: CpuLatency::open()?,
            requests: AtomicU32::new(0),
            polling: AtomicBool::new(false),
            over: AtomicBool::new(false),
            keeper: OnceLock::new(),
        })
    }

    /// A request has come.
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

    /// Does what takes requests.
    pub(super) fn during<T>(&self, serve: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            // Without it CPUs sleep as ever.
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
        // There is no second one.
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
            tracing::debug!(%error, "idle CPUs do as they did");
        }
    }
}
