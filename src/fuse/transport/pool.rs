//! The threads that read the device: enough of them that slow requests hold up no others.
//!
//! A thread answers what it reads, so a request that takes long (the copy-up of a large file, an fsync, a read of a slow
//! disk) takes its thread out of service. While all threads are busy, a keeper looks at each of them every [`LOOK`]: one
//! that is still at the same request is *slow*, and for each slow one another thread starts, up to a bound. So quick
//! requests never lead to more threads, however many come: more threads than CPUs would only wake each other.
//!
//! A thread whose slow request is done and is needed no longer waits in reserve, and ends when it was not called for
//! [`RESERVE`]. Threads in reserve do not read the device: the kernel would wake each of them in turn.
//!
//! What a quick request costs for all this: two writes to a cache line of its thread's own, and two to a shared one. No
//! system call, and no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Scope, Thread};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::fuse::ops::server::Server;
use crate::sys::{Errno, FuseDevice, Result};

use super::device::{Ended, Worker};

/// A request is slow when it takes longer than one of these; so long may others wait for it, twice at most.
const LOOK: Duration = Duration::from_millis(3);
/// The keeper sleeps once there was an idle thread at so many looks.
const QUIET_LOOKS: u32 = 8;
const RESERVE: Duration = Duration::from_secs(5);

/// How many threads there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fuse) struct Bounds {
    /// These start at once, and so many are to be free of slow requests.
    pub least: usize,
    pub most: usize,
}

/// The threads of one mount that read its device.
#[derive(Debug)]
pub(in crate::fuse) struct Pool<'a> {
    server: &'a Server,
    bounds: Bounds,
    threads: Mutex<Threads>,
    /// Tells threads in reserve that one is called, or that the mount is gone.
    called: Condvar,
    /// Threads that wait for a request.
    idle: AtomicUsize,
    keeper: Thread,
    keeper_sleeps: AtomicBool,
    over: AtomicBool,
}

/// All threads are in here, whatever they do.
#[derive(Debug, Default)]
struct Threads {
    all: Vec<Arc<Activity>>,
    /// Those that wait for requests or are at a quick one.
    prompt: usize,
    reserve: usize,
    /// How many of the reserve are called.
    calls: usize,
    failed: Option<Errno>,
}

/// What a thread is at: the count of its requests in the upper bits, and [`BUSY`] and [`SLOW`].
#[derive(Debug, Default)]
#[repr(align(128))]
struct Activity {
    now: AtomicU64,
    /// What the keeper saw last.
    seen: AtomicU64,
}

const BUSY: u64 = 1;
const SLOW: u64 = 2;
const ONE_REQUEST: u64 = 4;

impl Activity {
    fn begin(&self) {
        // Nobody else writes while the thread is not busy.
        self.now.store((self.now.load(Ordering::Relaxed) + ONE_REQUEST) | BUSY, Ordering::Relaxed);
    }

    /// Whether the request was slow.
    fn end(&self) -> bool {
        self.now.fetch_and(!(BUSY | SLOW), Ordering::AcqRel) & SLOW != 0
    }

    /// Whether the thread is still at the request at which it was when this was called last, and this was not said yet.
    fn becomes_slow(&self) -> bool {
        let now = self.now.load(Ordering::Acquire);
        let same = self.seen.swap(now, Ordering::Relaxed) == now && now & (BUSY | SLOW) == BUSY;
        same && self.now.compare_exchange(now, now | SLOW, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl<'a> Pool<'a> {
    /// Answers requests from the device until the mount is gone. The calling thread keeps the others; when one of them
    /// fails, it calls `give_up`, which must end the mount.
    ///
    /// # Errors
    /// What the first thread that failed met.
    pub(in crate::fuse) fn run(server: &'a Server, bounds: Bounds, give_up: &(dyn Fn() + Sync)) -> Result<()> {
        let pool = Pool {
            server,
            bounds,
            threads: Mutex::default(),
            called: Condvar::new(),
            idle: AtomicUsize::new(0),
            keeper: thread::current(),
            keeper_sleeps: AtomicBool::new(false),
            over: AtomicBool::new(false),
        };
        thread::scope(|scope| {
            let start = |threads: &mut Threads| pool.start(threads, scope, give_up);
            let mut threads = pool.threads.lock();
            for _ in 0..bounds.least {
                if let Err(error) = start(&mut threads) {
                    threads.failed = Some(error);
                    pool.over.store(true, Ordering::Release);
                    give_up();
                    break;
                }
            }
            drop(threads);
            pool.keep(start);
        });
        let failed = pool.threads.into_inner().failed;
        failed.map_or(Ok(()), Err)
    }

    /// Counts a thread and starts it.
    fn start<'scope, 'env>(
        &'env self,
        threads: &mut Threads,
        scope: &'scope Scope<'scope, 'env>,
        give_up: &'env (dyn Fn() + Sync),
    ) -> Result<()> {
        let activity = Arc::<Activity>::default();
        let of_thread = activity.clone();
        let counted = self.server.counters.thread();
        let spawned = thread::Builder::new().spawn_scoped(scope, move || {
            let _counted = counted;
            self.work(&of_thread, give_up);
        });
        spawned.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))?;
        threads.all.push(activity);
        threads.prompt += 1;
        Ok(())
    }

    /// One thread, from its start to its end.
    fn work(&self, activity: &Arc<Activity>, give_up: &(dyn Fn() + Sync)) {
        self.idle.fetch_add(1, Ordering::AcqRel);
        // A queue of answers of its own, so that threads do not contend; where there can be none, one is shared.
        let own = self.server.device.another().ok();
        let device: &FuseDevice = own.as_ref().unwrap_or(&self.server.device);
        let done = Worker::new(device).run(self.server, || self.begin(activity), || self.finish(activity));
        match done {
            Ok(Ended::Surplus) => return,
            Ok(Ended::Unmounted) => {}
            Err(error) => {
                self.threads.lock().failed.get_or_insert(error);
                give_up();
            }
        }
        self.end();
    }

    /// The mount is gone: everybody ends.
    fn end(&self) {
        self.over.store(true, Ordering::Release);
        // Under the lock, or one that is about to wait would not hear of it.
        let threads = self.threads.lock();
        self.called.notify_all();
        drop(threads);
        self.keeper.unpark();
    }

    /// After a request was read.
    fn begin(&self, activity: &Activity) {
        activity.begin();
        if self.idle.fetch_sub(1, Ordering::SeqCst) == 1
            && self.keeper_sleeps.load(Ordering::SeqCst)
            && self.keeper_sleeps.swap(false, Ordering::SeqCst)
        {
            self.keeper.unpark();
        }
    }

    /// After the request was answered: whether the thread is to read another.
    fn finish(&self, activity: &Arc<Activity>) -> bool {
        if activity.end() && !self.goes_on(activity) {
            return false;
        }
        self.idle.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// Starts threads in place of those that are slow, until the mount is gone.
    fn keep(&self, start: impl Fn(&mut Threads) -> Result<()>) {
        if self.bounds.most <= self.bounds.least {
            while !self.over.load(Ordering::Acquire) {
                thread::park();
            }
            return;
        }
        let mut quiet = 0;
        while !self.over.load(Ordering::Acquire) {
            if quiet < QUIET_LOOKS {
                thread::park_timeout(LOOK);
                self.look(&start);
                quiet = if self.is_idle() { quiet + 1 } else { 0 };
            } else {
                self.keeper_sleeps.store(true, Ordering::SeqCst);
                // Who takes the last idle thread after this wakes the keeper.
                while self.is_idle() && self.keeper_sleeps.load(Ordering::SeqCst) && !self.over.load(Ordering::Acquire)
                {
                    thread::park();
                }
                self.keeper_sleeps.store(false, Ordering::SeqCst);
                quiet = 0;
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.idle.load(Ordering::SeqCst) > 0
    }

    fn look(&self, start: &impl Fn(&mut Threads) -> Result<()>) {
        let mut threads = self.threads.lock();
        let slow = threads.all.iter().filter(|activity| activity.becomes_slow()).count();
        threads.prompt -= slow;
        while threads.prompt < self.bounds.least {
            if threads.reserve > threads.calls {
                threads.calls += 1;
                threads.prompt += 1;
                self.called.notify_one();
            } else if threads.all.len() >= self.bounds.most {
                break;
            } else if let Err(error) = start(&mut threads) {
                tracing::warn!(%error, "no further thread can be started: slow requests hold up others");
                break;
            }
        }
    }

    /// After a slow request: whether the thread goes on. Waits in reserve while it is not needed.
    fn goes_on(&self, activity: &Arc<Activity>) -> bool {
        let mut threads = self.threads.lock();
        if threads.prompt < self.bounds.least {
            threads.prompt += 1;
            return true;
        }
        threads.reserve += 1;
        let until = Instant::now() + RESERVE;
        while threads.calls == 0 && !self.over.load(Ordering::Acquire) {
            if self.called.wait_until(&mut threads, until).timed_out() {
                break;
            }
        }
        threads.reserve -= 1;
        if threads.calls > 0 {
            threads.calls -= 1;
            return true;
        }
        threads.all.retain(|other| !Arc::ptr_eq(other, activity));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_slow_once_it_is_found_twice_at_one_request() {
        let activity = Activity::default();
        assert!(!activity.becomes_slow() && !activity.becomes_slow(), "idle");
        activity.begin();
        assert!(!activity.becomes_slow());
        assert!(!activity.end());
        activity.begin();
        assert!(!activity.becomes_slow(), "another request");
        assert!(activity.becomes_slow());
        assert!(!activity.becomes_slow(), "said once");
        assert!(activity.end());
        activity.begin();
        assert!(!activity.end());
    }
}
