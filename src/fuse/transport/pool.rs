//! The threads that read the device: enough of them that slow requests do not delay others.
//!
//! A thread answers the requests that it reads, so a long request (the copy-up of a large file, an fsync, a read of a
//! slow disk) keeps its thread busy. While all threads are busy, a keeper thread checks each of them every few
//! milliseconds. A thread that is still at the same request is *slow*, and the keeper starts another thread for each slow one, up to a
//! bound. Quick requests never lead to more threads, however many come: more threads than CPUs would only wake each
//! other.
//!
//! When a slow request is done and its thread is not needed, the thread waits in reserve. It ends when it was not
//! called for [`RESERVE`]. Threads in reserve do not read the device, because the kernel would wake each of them in
//! turn.
//!
//! A quick request pays for this with two writes to its thread's own cache line and two to a shared one, and with no
//! system call and no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Scope, Thread};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::fuse::ops::server::Server;
use crate::sys::{Errno, FuseDevice, Result};

use super::device::{Ended, Worker};

/// The time between two checks at first. A request that is still running at the second check is slow.
const LOOK: Duration = Duration::from_millis(3);
/// The time between two checks grows to this while no request is slow, because each check interrupts a busy CPU. So
/// others wait for a slow request twice this time at most.
const LOOK_MOST: Duration = Duration::from_millis(12);
/// The keeper sleeps after it found an idle thread at so many checks in a row.
const QUIET_LOOKS: u32 = 8;
const RESERVE: Duration = Duration::from_secs(5);

/// How many threads there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fuse) struct Bounds {
    /// So many start at once, and the pool keeps so many free of slow requests.
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

/// All threads of the pool, counted by state.
#[derive(Debug, Default)]
struct Threads {
    all: Vec<Arc<Activity>>,
    /// How many wait for a request or are not slow at one.
    prompt: usize,
    /// How many wait in reserve.
    reserve: usize,
    /// How many of the reserve are called back.
    calls: usize,
    failed: Option<Errno>,
}

/// The state of a thread: [`BUSY`] and [`SLOW`], and the count of its requests in the upper bits.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Activity {
    now: AtomicU64,
    /// The value of `now` at the keeper's last check.
    checked: AtomicU64,
}

const BUSY: u64 = 1;
const SLOW: u64 = 2;
const ONE_REQUEST: u64 = 4;

impl Activity {
    fn begin(&self) {
        // The keeper writes only while the thread is busy.
        self.now.store((self.now.load(Ordering::Relaxed) + ONE_REQUEST) | BUSY, Ordering::Relaxed);
    }

    /// Ends the request and returns whether it was slow.
    fn end(&self) -> bool {
        self.now.fetch_and(!(BUSY | SLOW), Ordering::AcqRel) & SLOW != 0
    }

    /// Marks the request as slow if it was already running at the last call. Returns whether this call marked it.
    fn becomes_slow(&self) -> bool {
        let now = self.now.load(Ordering::Acquire);
        let same = self.checked.swap(now, Ordering::Relaxed) == now && now & (BUSY | SLOW) == BUSY;
        same && self.now.compare_exchange(now, now | SLOW, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl<'a> Pool<'a> {
    /// Answers requests from the device until the mount is gone. The calling thread is the keeper; when another thread
    /// fails, it calls `give_up`, which must end the mount.
    ///
    /// # Errors
    /// The error of the first thread that failed.
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
        // Its own queue of answers, so that threads do not contend; if the kernel gives none, the thread shares the
        // first.
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

    /// Ends all threads, because the mount is gone.
    fn end(&self) {
        self.over.store(true, Ordering::Release);
        // Under the lock, so that a thread that is about to wait does not miss the notification.
        let threads = self.threads.lock();
        self.called.notify_all();
        drop(threads);
        self.keeper.unpark();
    }

    /// Called after a request was read.
    fn begin(&self, activity: &Activity) {
        activity.begin();
        if self.idle.fetch_sub(1, Ordering::SeqCst) == 1
            && self.keeper_sleeps.load(Ordering::SeqCst)
            && self.keeper_sleeps.swap(false, Ordering::SeqCst)
        {
            self.keeper.unpark();
        }
    }

    /// Called after the request was answered. Returns whether the thread shall read another.
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
        let (mut quiet, mut pause) = (0, LOOK);
        while !self.over.load(Ordering::Acquire) {
            if quiet < QUIET_LOOKS {
                thread::park_timeout(pause);
                pause = if self.look(&start) { LOOK } else { (pause * 2).min(LOOK_MOST) };
                quiet = if self.is_idle() { quiet + 1 } else { 0 };
            } else {
                self.keeper_sleeps.store(true, Ordering::SeqCst);
                // A request that takes the last idle thread after this wakes the keeper.
                while self.is_idle() && self.keeper_sleeps.load(Ordering::SeqCst) && !self.over.load(Ordering::Acquire)
                {
                    thread::park();
                }
                self.keeper_sleeps.store(false, Ordering::SeqCst);
                (quiet, pause) = (0, LOOK);
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.idle.load(Ordering::SeqCst) > 0
    }

    /// Replaces threads that are slow. Returns whether it found one.
    fn look(&self, start: &impl Fn(&mut Threads) -> Result<()>) -> bool {
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
                tracing::warn!(%error, "cannot start another thread: slow requests delay others");
                break;
            }
        }
        slow > 0
    }

    /// Called after a slow request. Waits in reserve while the thread is not needed, and returns whether it goes on.
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
        assert!(!activity.becomes_slow(), "reported once");
        assert!(activity.end());
        activity.begin();
        assert!(!activity.end());
    }
}
