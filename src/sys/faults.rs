//! Injects faults for tests: the Nth system call that changes something fails, or the process ends instead of making
//! it.
//!
//! Only with the feature `faults`. A test arms one fault, for its own thread or for all threads of its process, and
//! then runs an operation; every changing call checks for an armed fault first. To test all failures of an operation, a
//! test first counts its calls with [`Fault::None`], then repeats the operation once for each call. A thread's own
//! fault ignores the calls of other threads.
//!
//! For [`Fault::Die`] the operation must run in a child ([`super::process::spawn`]), which then exits with
//! [`DEATH_STATUS`].

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::process::exit_now;
use super::{Errno, Result};

/// The exit status of a process that [`Fault::Die`] ended.
pub const DEATH_STATUS: i32 = 86;

/// What happens in place of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the calls are only counted.
    None,
    /// This one call fails.
    Fail(Errno),
    /// This call and every later one fail, as on a disk that has become read-only.
    FailOnwards(Errno),
    /// The process ends before the call.
    Die,
}

/// Which threads a fault applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The thread that arms the fault.
    Thread,
    /// All threads of the process, except threads with a fault of their own.
    Process,
}

#[derive(Debug)]
struct Plan {
    nth: u64,
    fault: Fault,
    seen: AtomicU64,
    /// The name of the call that the fault replaced.
    hit: Mutex<Option<&'static str>>,
}

thread_local!(static OF_THREAD: RefCell<Option<Arc<Plan>>> = const { RefCell::new(None) });
static OF_PROCESS: RwLock<Option<Arc<Plan>>> = RwLock::new(None);
/// Lets threads skip the lock while no fault of the process is armed.
static ANY_OF_PROCESS: AtomicBool = AtomicBool::new(false);

/// An armed fault. Dropping it disarms it.
#[derive(Debug)]
pub struct Armed {
    plan: Arc<Plan>,
    scope: Scope,
}

/// Arms `fault` for the changing call number `nth`, counted from 1. Replaces an earlier fault of the same scope.
pub fn arm(scope: Scope, nth: u64, fault: Fault) -> Armed {
    let plan = Arc::new(Plan { nth, fault, seen: AtomicU64::new(0), hit: Mutex::new(None) });
    set(scope, Some(plan.clone()));
    Armed { plan, scope }
}

impl Armed {
    /// The number of changing calls since the fault was armed, including the failed ones.
    pub fn seen(&self) -> u64 {
        self.plan.seen.load(Ordering::Acquire)
    }

    /// The name of the call that the fault replaced, once it has happened.
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

/// Runs before each changing call, and fails or exits where the armed fault says so.
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
    fn only_the_nth_call_fails() {
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
    fn reads_and_other_threads_do_not_count() {
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
