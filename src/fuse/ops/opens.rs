//! Files that are open, where the kernel reads and writes the files of the layers itself (passthrough).
//!
//! The kernel wants one backing file for all opens of a node, and has a node either cached or passed through,
//! never both at once: so the first open decides until the last one is released. A file that may be copied up
//! while it is open has no backing file; nor has one whose writes must be asked about.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::sys::{FuseDevice, OFlags, Result};
use crate::union::{NodeId, Union};

const SHARDS: u64 = 16;

/// In bytes: what is smaller and never changes is read once and kept. Registering it at each open takes longer.
pub(in crate::fuse) const WORTH_PASSING: u64 = 64 << 10;

/// The files that are open on one connection.
#[derive(Debug)]
pub(in crate::fuse) struct Opens {
    shards: Vec<Mutex<Shard>>,
    /// Whether the kernel takes backing files from this process and of this file system; known from the first on.
    possible: OnceLock<bool>,
}

#[derive(Debug, Default)]
struct Shard {
    /// Each with a lock of its own, which is held while its file is opened, registered or read. It is taken before the
    /// shard's, which is held for a look only.
    open: HashMap<NodeId, Arc<Mutex<Open>>>,
    /// Known nodes that programs may write through maps, of which neither the kernel's FUSE nor this process hears:
    /// a map lasts longer than the open by which it was made, and nobody tells of its end.
    mapped: HashSet<NodeId>,
    /// Known nodes that were open before: of their content the kernel may have kept something, or asked for it.
    seen: HashSet<NodeId>,
}

#[derive(Debug, Default)]
struct Open {
    count: u64,
    /// It is in the table no more.
    gone: bool,
    /// The kernel's number of the file.
    backing: Option<u32>,
}

/// How an open goes on.
#[derive(Clone, Copy, Debug)]
pub(in crate::fuse) enum Opened {
    /// Through the page cache of the mount and this process.
    Cached,
    /// Through the file of this number.
    Through(u32),
    /// As `Cached`, and so shall be all others, without asking.
    Unasked,
}

impl Opens {
    pub(in crate::fuse) fn new() -> Opens {
        Opens { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), possible: OnceLock::new() }
    }

    /// Counts an open of a node, whose file is registered with the kernel for it. When the kernel has asked for
    /// nothing of its content yet, `first` is called, and no other open of it goes on before that has returned.
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
            if matches!(opened, Opened::Cached) && self.shard(id).lock().seen.insert(id) {
                first();
            }
            return Ok(opened);
        }
    }

    /// The number under which the kernel now has the node's file, if it is to have it; `None` where it takes none at all.
    fn register(&self, union: &Union, id: NodeId, device: &FuseDevice) -> Result<Option<Option<u32>>> {
        let registered = union.backing(id, WORTH_PASSING)?.map(|file| device.back(&*file));
        if let Some(registered) = &registered
            && !*self.possible.get_or_init(|| registered.is_ok())
        {
            return Ok(None);
        }
        // One that is not to be had, in a layer on another file system, is read by this process.
        Ok(Some(registered.and_then(Result::ok)))
    }

    fn remove(&self, id: NodeId, open: &mut Open) {
        open.gone = true;
        self.shard(id).lock().open.remove(&id);
    }

    /// Uncounts an open. After the last one the file is registered no more.
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

    /// The kernel knows the node no more: nobody has it open, nor a map of it.
    pub(in crate::fuse) fn forget(&self, id: NodeId) {
        let mut shard = self.shard(id).lock();
        shard.mapped.remove(&id);
        shard.seen.remove(&id);
    }

    /// Whether a node's times may change unseen by the kernel's FUSE.
    pub(in crate::fuse) fn changes_unseen(&self, id: NodeId) -> bool {
        self.shard(id).lock().mapped.contains(&id)
    }

    fn shard(&self, id: NodeId) -> &Mutex<Shard> {
        &self.shards[((id.0 ^ (id.0 >> 8)) % SHARDS) as usize]
    }
}

/// Who maps a file to write it must have it open for both.
pub(in crate::fuse) fn mappable(flags: u32) -> bool {
    flags & OFlags::RWMODE.bits() == OFlags::RDWR.bits()
}
