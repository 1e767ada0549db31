//! Drops directory listings from the kernel's cache when they slow down a program that needs attributes.
//!
//! The kernel caches the names of a directory and serves the next reader from this cache. A reader that also needs the
//! attributes of each entry then causes one LOOKUP per entry. Without the cached listing it would cause almost none:
//! when the kernel notices lookups, it lists with attributes (READDIRPLUS), but only while it lists from this process.
//! So a listing that was read without attributes is dropped once enough lookups followed it; its reader continues at
//! the same place. By then the lookups have cost as much as reading the names again, so a program that reads only names
//! loses at most half of its speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;

use crate::fuse::wire::abi::{self, OutHeader};
use crate::sys::FuseDevice;
use crate::union::NodeId;

/// How many directories are tracked at a time. Listings of other directories are never dropped.
const DIRECTORIES: usize = 64;
/// A program reads about so many names before it asks for the attributes of the first. In a directory with fewer
/// entries nothing would be left to list.
const MANY: u32 = 2048;
/// One lookup takes as long as listing so many names.
const NAMES_PER_LOOKUP: u32 = 64;
const NONE: NodeId = NodeId(0);

/// The directories that were listed without attributes.
#[derive(Debug)]
pub(in crate::fuse) struct ReaddirCache {
    slots: [Slot; DIRECTORIES],
    /// A listing is being dropped.
    busy: Arc<AtomicBool>,
}

/// One tracked directory. Updates of two threads at once may get lost: then a listing is kept longer.
#[derive(Debug, Default)]
struct Slot {
    dir: AtomicU64,
    /// How many names were listed without attributes.
    names: AtomicU32,
    lookups: AtomicU32,
    /// The listing was dropped, and the directory was not listed from its beginning since.
    dropped: AtomicBool,
}

impl Slot {
    fn is_of(&self, dir: NodeId) -> bool {
        self.dir.load(Ordering::Relaxed) == dir.0
    }

    fn give_to(&self, dir: NodeId) {
        self.names.store(0, Ordering::Relaxed);
        self.lookups.store(0, Ordering::Relaxed);
        self.dropped.store(false, Ordering::Relaxed);
        self.dir.store(dir.0, Ordering::Relaxed);
    }
}

impl Default for ReaddirCache {
    fn default() -> ReaddirCache {
        ReaddirCache { slots: std::array::from_fn(|_| Slot::default()), busy: Arc::default() }
    }
}

impl ReaddirCache {
    fn slot(&self, dir: NodeId) -> &Slot {
        &self.slots[(dir.0 ^ (dir.0 >> 8)) as usize % DIRECTORIES]
    }

    /// Call this after `names` entries of `dir` were listed without attributes.
    pub(in crate::fuse) fn listed(&self, dir: NodeId, names: u32) {
        let slot = self.slot(dir);
        if !slot.is_of(dir) {
            slot.give_to(dir);
        }
        slot.names.fetch_add(names, Ordering::Relaxed);
    }

    /// Call this before `dir` is listed from its beginning. Returns whether its listing was dropped and its entries
    /// were then listed with attributes; this listing needs names only.
    pub(in crate::fuse) fn begun(&self, dir: NodeId) -> bool {
        let slot = self.slot(dir);
        let dropped = slot.is_of(dir) && slot.dropped.load(Ordering::Relaxed);
        if slot.is_of(dir) {
            slot.give_to(NONE);
        }
        dropped
    }

    /// Call this after a lookup in `dir`. Returns whether its listing should be dropped now.
    pub(in crate::fuse) fn is_due(&self, dir: NodeId) -> bool {
        let slot = self.slot(dir);
        if !slot.is_of(dir) {
            return false;
        }
        let names = slot.names.load(Ordering::Relaxed);
        let due = names >= MANY && slot.lookups.fetch_add(1, Ordering::Relaxed) + 1 >= names / NAMES_PER_LOOKUP;
        if due {
            slot.give_to(dir);
            slot.dropped.store(true, Ordering::Relaxed);
        }
        due
    }

    /// Drops the kernel's cached listing of `dir`, on a thread that answers no requests. The kernel first waits for any
    /// program that is reading this listing, and that program may wait for an answer of ours: its buffer can be a map
    /// of a file on the mount.
    pub(in crate::fuse) fn take_away(&self, dir: NodeId, device: &FuseDevice) {
        let Ok(device) = device.duplicate() else { return };
        if self.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let busy = self.busy.clone();
        let act = move || {
            let notice = abi::NotifyInvalInodeOut { ino: dir.0, off: 0, len: 0 };
            let header = OutHeader::before(size_of_val(&notice), abi::NOTIFY_INVAL_INODE, 0);
            // An error means that the kernel has forgotten the directory.
            let _ = device.send(&header.with(&notice));
            busy.store(false, Ordering::Release);
        };
        if thread::Builder::new().spawn(act).is_err() {
            self.busy.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIR: NodeId = NodeId(77);

    fn lookups_until_due(listings: &ReaddirCache) -> Option<u32> {
        (1..10_000).find(|_| listings.is_due(DIR))
    }

    #[test]
    fn a_listing_goes_once_after_lookups_in_proportion_to_its_names() {
        let listings = ReaddirCache::default();
        for names in [2048, 6400] {
            (0..64).for_each(|_| listings.listed(DIR, names / 64));
            assert_eq!(lookups_until_due(&listings), Some(names / NAMES_PER_LOOKUP));
            assert_eq!(lookups_until_due(&listings), None);
            assert!(listings.begun(DIR));
            assert!(!listings.begun(DIR), "once");
        }
    }

    #[test]
    fn a_small_listing_stays_and_so_does_one_of_which_nothing_is_known() {
        let listings = ReaddirCache::default();
        assert_eq!(lookups_until_due(&listings), None);
        listings.listed(DIR, MANY - 1);
        assert_eq!(lookups_until_due(&listings), None);
        listings.listed(DIR, MANY);
        assert!(!listings.begun(DIR));
        assert_eq!(lookups_until_due(&listings), None);
        listings.listed(DIR, MANY);
        listings.listed(NodeId(DIR.0 + DIRECTORIES as u64 * 256 * 64), 1);
        listings.listed(DIR, 1);
        assert_eq!(lookups_until_due(&listings), None, "another has taken its place");
    }
}
