//! Faults for tests: the Nth system call that changes something fails, or the process ends in its place.
//!
//! Only with the feature `faults`. A test arms one fault, for its own thread or for all threads of its process, and does
//! something; every changing call asks here first. A sweep first counts the calls of an operation with [`Fault::None`], and
//! then does the operation again once for each call. A thread's own fault is exact whatever other threads do.
//!
//! For [`Fault::Die`] the operation runs in a child ([`super::process::spawn`]), which ends with [`DEATH_STATUS`].

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::process::exit_now;
use super::{Errno, Result};

/// The status of a process that [`Fault::Die`] ended.
pub const DEATH_STATUS: i32 = 86;

/// What happens in place of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: calls are only counted.
    None,
    /// This one call fails.
    Fail(Errno),
    /// This call fails and so does every later one, as on a disk that has become read-only.
    FailOnwards(Errno),
    /// The process ends before the call.
    Die,
}

/// Whose calls count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of the thread that arms the fault.
    Thread,
    /// Those of all threads, but of threads with a fault of their own.
    Process,
}

#[derive(Debug)]
struct Plan {
    nth: u64,
    fault: Fault,
    seen: AtomicU64,
    /// The name of the call that the fault was for.
    hit: Mutex<Option<&'static str>>,
}

thread_local!(static OF_THREAD: RefCell<Option<Arc<Plan>>> = const { RefCell::new(None) });
static OF_PROCESS: RwLock<Option<Arc<Plan>>> = RwLock::new(None);
/// Spares all but the threads of a test the lock.
static ANY_OF_PROCESS: AtomicBool = AtomicBool::new(false);

/// An armed fault. Dropping it disarms it.
#[derive(Debug)]
pub struct Armed {
    plan: Arc<Plan>,
    scope: Scope,
}

/// Arms `fault` for the changing call number `nth`, counted from 1. It takes the place of an earlier one of this scope.
pub fn arm(scope: Scope, nth: u64, fault: Fault) -> Armed {
    let plan = Arc::new(Plan { nth, fault, seen: AtomicU64::new(0), hit: Mutex::new(None) });
    set(scope, Some(plan.clone()));
    Armed { plan, scope }
}

impl Armed {
    /// How many changing calls there have been since this was armed, the failed ones included.
    pub fn seen(&self) -> u64 {
        self.plan.seen.load(Ordering::Acquire)
    }

    /// The name of the call in whose place the fault came, once it has.
    pub fn hit(&self) -> Option<&'static str> {
        *self.plan.hit.lock()
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        set(self.scope, None);
    }
}

fn set(scope: Scope, plan: Option<Arc<Plan>>) {
    match scope {
        Scope::Thread => OF_THREAD.set(plan),
        Scope::Process => {
            ANY_OF_PROCESS.store(plan.is_some(), Ordering::Release);
            *OF_PROCESS.write() = plan;
        }
    }
}

/// Before a changing call.
pub(super) fn before(call: &'static str) -> Result<()> {
    let plan = OF_THREAD.with_borrow(Clone::clone);
    let plan = plan.or_else(|| if ANY_OF_PROCESS.load(Ordering::Acquire) { OF_PROCESS.read().clone() } else { None });
    plan.map_or(Ok(()), |plan| plan.before(call))
}

impl Plan {
    fn before(&self, call: &'static str) -> Result<()> {
        let number = self.seen.fetch_add(1, Ordering::AcqRel) + 1;
        let (is_it, is_later) = (number == self.nth, number > self.nth);
        if is_it && self.fault != Fault::None {
            *self.hit.lock() = Some(call);
        }
        match self.fault {
            Fault::Fail(error) if is_it => Err(error),
            Fault::FailOnwards(error) if is_it || is_later => Err(error),
            Fault::Die if is_it => exit_now(DEATH_STATUS),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Dir, Name};

    fn make(dir: &Dir, name: &str) -> Result<()> {
        dir.make_dir(Name::new(name)?, 0o700)
    }

    #[test]
    fn the_call_that_was_asked_for_fails_and_no_other() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = Dir::open_host(scratch.path()).unwrap();
        let armed = arm(Scope::Thread, 2, Fault::Fail(Errno::NOSPC));
        let all = ["a", "b", "c"].map(|name| make(&dir, name));
        assert_eq!(all, [Ok(()), Err(Errno::NOSPC), Ok(())]);
        assert_eq!((armed.seen(), armed.hit()), (3, Some("mkdirat")));
        drop(armed);
        assert_eq!(make(&dir, "b"), Ok(()));
    }

    #[test]
    fn reading_is_no_change_and_other_threads_are_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = Dir::open_host(scratch.path()).unwrap();
        let armed = arm(Scope::Thread, 1, Fault::FailOnwards(Errno::IO));
        dir.entries().unwrap();
        dir.stat_self().unwrap();
        assert_eq!(armed.seen(), 0);
        std::thread::scope(|scope| scope.spawn(|| make(&dir, "a")).join().unwrap()).unwrap();
        assert_eq!([make(&dir, "b"), make(&dir, "c")], [Err(Errno::IO), Err(Errno::IO)]);
    }
}
