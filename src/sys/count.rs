//! Counts the system calls on files. Every such call passes through [`account`] first; counting is cheap enough to be
//! always on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::Result;

/// Enough shards that few threads share a cache line; with more threads than shards, some do.
const SHARDS: usize = 8;

/// `N` counters that several threads add to without waiting for each other.
#[derive(Debug)]
pub struct Tally<const N: usize>([Shard<N>; SHARDS]);

#[derive(Debug)]
#[repr(align(128))]
struct Shard<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Tally<N> {
        Tally(std::array::from_fn(|_| Shard(std::array::from_fn(|_| AtomicU64::new(0)))))
    }
}

impl<const N: usize> Tally<N> {
    /// Adds one to a counter; does nothing when there is no counter of that number.
    pub fn add(&self, counter: usize) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static SHARD: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS));
        if let Some(counter) = self.0[SHARD.get()].0.get(counter) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counters that have counted something, by the name that each has in `names`.
    pub fn by_name(&self, names: &[&str; N]) -> BTreeMap<String, u64> {
        let total = |counter: usize| self.0.iter().map(|shard| shard.0[counter].load(Ordering::Relaxed)).sum();
        let all = names.iter().enumerate().map(|(counter, name)| ((*name).to_owned(), total(counter)));
        all.filter(|(_, total)| *total > 0).collect()
    }
}

macro_rules! calls {
    ($($call:ident $name:literal,)*) => {
        /// The system calls that are counted; all variants of a call have one name. Every way to open counts as
        /// `openat2`. Closing is not counted.
        #[derive(Clone, Copy)]
        pub(super) enum Call { $($call),* }
        const NAMES: [&str; [$($name),*].len()] = [$($name),*];
    };
}

calls! {
    Open "openat2",
    Stat "statx",
    StatFs "statfs",
    Getdents "getdents64",
    Readlink "readlinkat",
    Mkdir "mkdirat",
    Mknod "mknodat",
    Symlink "symlinkat",
    Link "linkat",
    Rename "renameat2",
    Unlink "unlinkat",
    Chmod "fchmod",
    Chown "fchownat",
    Utimens "utimensat",
    Sync "fsync",
    Getxattr "getxattr",
    Listxattr "listxattr",
    Setxattr "setxattr",
    Removexattr "removexattr",
    Read "pread64",
    Write "pwrite64",
    Truncate "ftruncate",
    Allocate "fallocate",
    Seek "lseek",
    Copy "copy_file_range",
    Ioctl "ioctl",
    Handle "name_to_handle_at",
}

/// Counts of the system calls on files and directories made for one purpose, for example one mount.
#[derive(Debug, Default)]
pub struct Calls(Tally<{ NAMES.len() }>);

thread_local!(static CURRENT: RefCell<Option<Arc<Calls>>> = const { RefCell::new(None) });

impl Calls {
    /// From now on, counts the calls of the current thread here and nowhere else.
    pub fn bind(self: &Arc<Calls>) {
        CURRENT.with_borrow_mut(|current| match current {
            Some(bound) if Arc::ptr_eq(bound, self) => {}
            _ => *current = Some(self.clone()),
        });
    }

    /// How often each call was made, by name. Calls that were never made are left out.
    pub fn by_name(&self) -> BTreeMap<String, u64> {
        self.0.by_name(&NAMES)
    }
}

impl Call {
    /// Whether the call changes a file or a directory, whatever its arguments. For opening and `ioctl`, the arguments
    /// decide; see [`account_as`].
    fn changes(self) -> bool {
        match self {
            Call::Mkdir | Call::Mknod | Call::Symlink | Call::Link | Call::Rename | Call::Unlink => true,
            Call::Chmod | Call::Chown | Call::Utimens | Call::Setxattr | Call::Removexattr => true,
            Call::Sync | Call::Write | Call::Truncate | Call::Allocate | Call::Copy => true,
            Call::Open | Call::Stat | Call::StatFs | Call::Getdents | Call::Readlink => false,
            Call::Getxattr | Call::Listxattr | Call::Read | Call::Seek | Call::Ioctl | Call::Handle => false,
        }
    }
}

/// Counts the call that this thread is about to make. Every system call on a file or directory comes here first.
///
/// # Errors
/// With the feature `faults`: the error that a test injected in place of this call. Without it: none.
pub(super) fn account(call: Call) -> Result<()> {
    account_as(call, call.changes())
}

/// As [`account`], for a call whose arguments decide whether it `changes` something.
///
/// # Errors
/// As [`account`].
pub(super) fn account_as(call: Call, changes: bool) -> Result<()> {
    CURRENT.with_borrow(|current| {
        if let Some(calls) = current {
            calls.0.add(call as usize);
        }
    });
    #[cfg(feature = "faults")]
    if changes {
        super::faults::before(NAMES[call as usize])?;
    }
    #[cfg(not(feature = "faults"))]
    let _ = changes;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{Dir, Name};

    #[test]
    fn calls_count_only_where_their_thread_is_bound() {
        let scratch = tempfile::tempdir().unwrap();
        let (first, second) = (Arc::new(Calls::default()), Arc::new(Calls::default()));
        let dir = Dir::open_host(scratch.path()).unwrap();
        first.bind();
        dir.make_dir(Name::new("a").unwrap(), 0o700).unwrap();
        second.bind();
        dir.stat(Name::new("a").unwrap()).unwrap();
        std::thread::scope(|scope| scope.spawn(|| dir.stat(Name::new("a").unwrap()).map(drop)).join().unwrap())
            .unwrap();
        assert_eq!(first.by_name(), BTreeMap::from([("mkdirat".to_owned(), 1)]));
        assert_eq!(second.by_name(), BTreeMap::from([("statx".to_owned(), 1)]));
    }

    #[test]
    fn a_tally_sums_the_counts_of_all_threads() {
        let tally = Tally::<2>::default();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..100).for_each(|_| tally.add(1)));
            }
        });
        assert_eq!(tally.by_name(&["a", "b"]), BTreeMap::from([("b".to_owned(), 2000)]));
    }
}
