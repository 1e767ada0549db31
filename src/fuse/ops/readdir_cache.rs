//! Listings that the kernel keeps, and that stand in the way of a reader who wants more than names.
//!
//! The kernel keeps what a directory lists, and answers the next reader from that. One who asks for the attributes of
//! each entry then sends one lookup after the other. Had he come first, he would have sent none: as soon as the kernel
//! sees that lookups follow, it lists with attributes, but it must have something to list. So a listing that was read
//! without attributes is taken away once enough lookups followed it; its reader goes on at the same place. To read the
//! names again is by then no more than what the lookups have cost: whoever keeps reading names alone loses at most half.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;

use crate::fuse::wire::abi::{self, OutHeader};
use crate::sys::FuseDevice;
use crate::union::NodeId;

/// Directories that are known at a time; of others nothing is taken away.
const DIRECTORIES: usize = 64;
/// A program has about so many names in hand before it asks for the first one's attributes: of a directory that holds no
/// more there is nothing left to list.
const MANY: u32 = 2048;
/// A lookup takes as long as to list so many names.
const NAMES_PER_LOOKUP: u32 = 64;
const NONE: NodeId = NodeId(0);

/// The directories that were listed without attributes.
#[derive(Debug)]
pub(in crate::fuse) struct ReaddirCache {
    slots: [Slot; DIRECTORIES],
    /// One is being taken away.
    busy: Arc<AtomicBool>,
}

/// What is read and written of it by two threads at once may be lost: then a listing is kept longer.
#[derive(Debug, Default)]
struct Slot {
    dir: AtomicU64,
    /// How many were listed without attributes.
    names: AtomicU32,
    lookups: AtomicU32,
    /// The listing was taken away, and the directory was not listed from its beginning since.
    taken: AtomicBool,
}

impl Slot {
    fn is_of(&self, dir: NodeId) -> bool {
        self.dir.load(Ordering::Relaxed) == dir.0
    }

    fn give_to(&self, dir: NodeId) {
        self.names.store(0, Ordering::Relaxed);
        self.lookups.store(0, Ordering::Relaxed);
        self.taken.store(false, Ordering::Relaxed);
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

    /// After `names` entries of `dir` were listed without attributes.
    pub(in crate::fuse) fn listed(&self, dir: NodeId, names: u32) {
        let slot = self.slot(dir);
        if !slot.is_of(dir) {
            slot.give_to(dir);
        }
        slot.names.fetch_add(names, Ordering::Relaxed);
    }

    /// Before `dir` is listed from its beginning: whether its entries were just listed with attributes, because the
    /// listing without was taken away. Then who lists again is served best by names.
    pub(in crate::fuse) fn begun(&self, dir: NodeId) -> bool {
        let slot = self.slot(dir);
        let taken = slot.is_of(dir) && slot.taken.load(Ordering::Relaxed);
        if slot.is_of(dir) {
            slot.give_to(NONE);
        }
        taken
    }

    /// After an entry of `dir` was looked up: whether its listing is to be taken away.
    pub(in crate::fuse) fn is_due(&self, dir: NodeId) -> bool {
        let slot = self.slot(dir);
        if !slot.is_of(dir) {
            return false;
        }
        let names = slot.names.load(Ordering::Relaxed);
        let due = names >= MANY && slot.lookups.fetch_add(1, Ordering::Relaxed) + 1 >= names / NAMES_PER_LOOKUP;
        if due {
            slot.give_to(dir);
            slot.taken.store(true, Ordering::Relaxed);
        }
        due
    }

    /// Takes the kernel's listing of `dir` away, by a thread that answers nobody: the kernel waits for whoever is being
    /// given a piece of that listing, and he may wait for one of our answers, when he reads into a map of a file of the mount.
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
