//! Open files on a mount with passthrough, where the kernel itself reads and writes the files of the layers.
//!
//! The kernel requires the same backing file for all opens of a node, and a node is either cached or passed through,
//! never both. So the first open decides until the last one is released. A file has no backing file if it may be copied
//! up while it is open, or if the daemon must check its writes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::sys::{FuseDevice, OFlags, Result};
use crate::union::{NodeId, Union};

const SHARDS: u64 = 16;

/// In bytes. A smaller file that never changes is read once and cached, since registering it at each open takes longer.
pub(in crate::fuse) const WORTH_PASSING: u64 = 64 << 10;

/// The files that are open on one connection.
#[derive(Debug)]
pub(in crate::fuse) struct Opens {
    shards: Vec<Mutex<Shard>>,
    /// Whether the kernel accepts backing files from this process and file system; the first attempt decides.
    possible: OnceLock<bool>,
}

#[derive(Debug, Default)]
struct Shard {
    /// Each has its own lock, which is held while its file is opened, registered or read. That lock is taken before the
    /// shard's, which is held only for an access to these tables.
    open: HashMap<NodeId, Arc<Mutex<Open>>>,
    /// Nodes that programs may write through maps (`mmap`). Neither the kernel's FUSE nor this process notices such a
    /// write. A map outlives the open that made it and its end is not reported, so a node stays here until FORGET.
    mapped: HashSet<NodeId>,
    /// Nodes that were opened cached before: the kernel may have cached some of their content, or be reading it. A node
    /// stays here until FORGET.
    opened: HashSet<NodeId>,
}

#[derive(Debug, Default)]
struct Open {
    count: u64,
    /// It was removed from the table.
    gone: bool,
    /// The kernel's number for the backing file.
    backing: Option<u32>,
}

/// How the kernel reads and writes an opened file.
#[derive(Clone, Copy, Debug)]
pub(in crate::fuse) enum Opened {
    /// Through the mount's page cache, with requests to this process.
    Cached,
    /// Through the backing file with this number.
    Through(u32),
    /// As `Cached`, for this and all other files: OPEN is not needed any more.
    Unasked,
}

impl Opens {
    pub(in crate::fuse) fn new() -> Opens {
        Opens { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), possible: OnceLock::new() }
    }

    /// Counts an open of a node. The first open registers the node's file with the kernel. If the node is opened cached
    /// and was not before, `first` is called; other opens of the node wait until it returns.
    ///
    /// # Errors
    /// As `open(2)` of the file in its layer.
    pub(in crate::fuse) fn open(
        &self,
        union: &Union,
        id: NodeId,
        flags: u32,
        device: &FuseDevice,
        first: impl FnOnce(),
    ) -> Result<Opened> {
        loop {
            let known = self.shard(id).lock().open.entry(id).or_default().clone();
            let mut open = known.lock();
            if open.gone {
                continue;
            }
            if open.count == 0 {
                match self.register(union, id, device) {
                    Ok(Some(backing)) => open.backing = backing,
                    not => {
                        self.remove(id, &mut open);
                        return not.map(|_| Opened::Unasked);
                    }
                }
            }
            open.count += 1;
            let opened = open.backing.map_or(Opened::Cached, Opened::Through);
            if mappable(flags) && matches!(opened, Opened::Through(_)) {
                self.shard(id).lock().mapped.insert(id);
            }
            if matches!(opened, Opened::Cached) && self.shard(id).lock().opened.insert(id) {
                first();
            }
            return Ok(opened);
        }
    }

    /// Registers the node's file, if it has a backing file, and returns the kernel's number for it. The outer `None`:
    /// the kernel accepts no backing files at all.
    fn register(&self, union: &Union, id: NodeId, device: &FuseDevice) -> Result<Option<Option<u32>>> {
        let registered = union.backing(id, WORTH_PASSING)?.map(|file| device.back(&*file));
        if let Some(registered) = &registered
            && !*self.possible.get_or_init(|| registered.is_ok())
        {
            return Ok(None);
        }
        // The kernel may refuse a file of a layer on another file system; this process then reads it.
        Ok(Some(registered.and_then(Result::ok)))
    }

    fn remove(&self, id: NodeId, open: &mut Open) {
        open.gone = true;
        self.shard(id).lock().open.remove(&id);
    }

    /// Uncounts an open. The last one unregisters the file.
    pub(in crate::fuse) fn release(&self, id: NodeId, device: &FuseDevice) {
        let Some(known) = self.shard(id).lock().open.get(&id).cloned() else { return };
        let mut open = known.lock();
        if open.gone {
            return;
        }
        open.count = open.count.saturating_sub(1);
        if open.count == 0 {
            if let Some(backing) = open.backing
                && let Err(error) = device.unback(backing)
            {
                tracing::warn!(%error, "a file stays registered with the kernel");
            }
            self.remove(id, &mut open);
        }
    }

    /// The kernel has forgotten the node: no program has it open or mapped.
    pub(in crate::fuse) fn forget(&self, id: NodeId) {
        let mut shard = self.shard(id).lock();
        shard.mapped.remove(&id);
        shard.opened.remove(&id);
    }

    /// Whether a node's times may change without the kernel's FUSE noticing, by writes through a map.
    pub(in crate::fuse) fn changes_unseen(&self, id: NodeId) -> bool {
        self.shard(id).lock().mapped.contains(&id)
    }

    fn shard(&self, id: NodeId) -> &Mutex<Shard> {
        &self.shards[((id.0 ^ (id.0 >> 8)) % SHARDS) as usize]
    }
}

/// Whether a map for writing can be made from an open with these flags: it must be open for reading and writing.
pub(in crate::fuse) fn mappable(flags: u32) -> bool {
    flags & OFlags::RWMODE.bits() == OFlags::RDWR.bits()
}
