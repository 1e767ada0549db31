//! The nodes that the kernel knows, by number, and the numbers.
//!
//! A node stays while the kernel counts lookups of it or a known node has its name in it. Numbers are
//! the inode numbers of the host, with the file system's index in the top byte: bottom layer first, so
//! that they are the same after a remount, and with further layers on top. What was copied up keeps the
//! number that it had below, by its origin mark.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::layer::Origin;
use crate::sys::{self, Errno, Result};

use super::node::{Node, NodeId, Real};

const SHARDS: usize = 16;
const FILESYSTEM_SHIFT: u32 = 56;
/// Set in numbers that name no inode of the host.
const MADE_UP: u64 = 1 << 63;

#[derive(Debug)]
struct Slot {
    node: Arc<Node>,
    /// Lookups that the kernel has not forgotten, and known nodes whose place is in this one.
    uses: u64,
}

/// What tells one file system from another: while it is mounted, and on disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileSystem {
    pub(super) dev: u64,
    pub(super) uuid: [u8; 16],
}

#[derive(Debug)]
pub(super) struct Table {
    shards: [Mutex<HashMap<NodeId, Slot>>; SHARDS],
    /// In the order in which they were met.
    filesystems: RwLock<Vec<FileSystem>>,
    /// Files copied up since they were looked up: they keep the number they had below.
    moved: RwLock<HashMap<Real, NodeId>>,
    /// How many those are: every lookup asks for one, and mostly there is none. Written under the lock of `moved`.
    moved_count: AtomicUsize,
    /// How many nodes there are, and how many there were at most since memory was given back.
    count: AtomicUsize,
    most: AtomicUsize,
}

/// Of fewer nodes it is not worth while to give memory back.
const MANY: usize = 4096;

impl Table {
    /// `layers` are those of the layers, bottom first.
    pub(super) fn new(layers: impl IntoIterator<Item = FileSystem>, root: Node) -> Table {
        let mut filesystems: Vec<FileSystem> = Vec::new();
        for layer in layers {
            if filesystems.iter().all(|known| known.dev != layer.dev) {
                filesystems.push(layer);
            }
        }
        let table = Table {
            shards: std::array::from_fn(|_| Mutex::default()),
            filesystems: RwLock::new(filesystems),
            moved: RwLock::default(),
            moved_count: AtomicUsize::new(0),
            count: AtomicUsize::new(1),
            most: AtomicUsize::new(1),
        };
        let id = root.id;
        table.shard(id).lock().insert(id, Slot { node: Arc::new(root), uses: 1 });
        table
    }

    fn shard(&self, id: NodeId) -> &Mutex<HashMap<NodeId, Slot>> {
        &self.shards[(id.0 ^ (id.0 >> 8)) as usize % SHARDS]
    }

    fn filesystem(&self, dev: u64) -> usize {
        let find = |all: &[FileSystem]| all.iter().position(|known| known.dev == dev);
        if let Some(known) = find(&self.filesystems.read()) {
            return known;
        }
        let mut all = self.filesystems.write();
        find(&all).unwrap_or_else(|| {
            all.push(FileSystem { dev, uuid: [0; 16] });
            all.len() - 1
        })
    }

    /// The identity on disk of the file system that is mounted as `dev`.
    pub(super) fn uuid(&self, dev: u64) -> [u8; 16] {
        let found = self.filesystem(dev);
        self.filesystems.read()[found].uuid
    }

    /// The number of a file of the host.
    pub(super) fn id_of(&self, real: Real) -> NodeId {
        match self.was_moved(real) {
            Some(id) => id,
            None => compose(self.filesystem(real.dev), real.ino),
        }
    }

    /// The number that a file keeps since it was copied up.
    fn was_moved(&self, real: Real) -> Option<NodeId> {
        if self.moved_count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        self.moved.read().get(&real).copied()
    }

    /// Whether the node `id`, whose attributes are in `real`, has its number from elsewhere.
    pub(super) fn is_copy(&self, real: Real, id: NodeId) -> bool {
        compose(self.filesystem(real.dev), real.ino) != id
    }

    /// The number of the file of the host that `origin` says was copied up as `real`.
    pub(super) fn id_of_copy(&self, real: Real, origin: Origin) -> NodeId {
        self.number_of(origin).map_or_else(|| self.id_of(real), NodeId)
    }

    /// The number that an origin names.
    pub(super) fn number_of(&self, origin: Origin) -> Option<u64> {
        match origin {
            Origin::Number(number) => (number > NodeId::ROOT.0).then_some(number),
            Origin::Inode { uuid, ino } => {
                let found = self.filesystems.read().iter().position(|known| known.uuid == uuid);
                found.map(|filesystem| compose(filesystem, ino).0)
            }
        }
    }

    /// The node with this number.
    ///
    /// # Errors
    /// `ESTALE` for a number that was never given out or was forgotten.
    pub(super) fn get(&self, id: NodeId) -> Result<Arc<Node>> {
        self.shard(id).lock().get(&id).map(|slot| slot.node.clone()).ok_or(Errno::STALE)
    }

    /// The node with this number, if it is known.
    pub(super) fn peek(&self, id: NodeId) -> Option<Arc<Node>> {
        self.get(id).ok()
    }

    /// Finds or makes the node of a file and counts one more use of it. A number that another file has,
    /// since both were given it by a hash or a copied mark, is passed over.
    pub(super) fn intern(&self, mut id: NodeId, real: Real, make: impl Fn(NodeId) -> Node) -> Arc<Node> {
        loop {
            let known = match self.shard(id).lock().entry(id) {
                Entry::Occupied(mut slot) => {
                    slot.get_mut().uses += 1;
                    Ok(slot.get().node.clone())
                }
                Entry::Vacant(slot) => {
                    let node = Arc::new(make(id));
                    slot.insert(Slot { node: node.clone(), uses: 1 });
                    Err(node)
                }
            };
            // States are looked at outside the shard's lock, which is the innermost.
            let known = match known {
                Ok(known) => known,
                Err(new) => {
                    self.grown();
                    return self.settle(new);
                }
            };
            if known.state.read().is(real) {
                return known;
            }
            drop(self.release(id, 1));
            id = NodeId(id.0.wrapping_add(1) | MADE_UP);
        }
    }

    fn settle(&self, node: Arc<Node>) -> Arc<Node> {
        let parents: Vec<_> = node.state.read().places.iter().map(|place| place.parent.clone()).collect();
        for parent in parents {
            self.hold(&parent);
        }
        node
    }

    /// Counts one more use of a known node.
    pub(super) fn hold(&self, node: &Arc<Node>) {
        match self.shard(node.id).lock().entry(node.id) {
            Entry::Occupied(mut slot) => slot.get_mut().uses += 1,
            Entry::Vacant(slot) => {
                slot.insert(Slot { node: node.clone(), uses: 1 });
                self.grown();
            }
        }
    }

    fn grown(&self) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(count, Ordering::Relaxed);
    }

    /// Gives back `count` uses; a node without uses is dropped, and so are its parents that only it held: these are
    /// answered.
    pub(super) fn release(&self, id: NodeId, count: u64) -> Vec<Arc<Node>> {
        let mut due = if count > 0 { vec![(id, count)] } else { Vec::new() };
        let mut gone = Vec::new();
        while let Some((id, count)) = due.pop() {
            let mut shard = self.shard(id).lock();
            let Entry::Occupied(mut slot) = shard.entry(id) else { continue };
            let slot_mut = slot.get_mut();
            slot_mut.uses = slot_mut.uses.saturating_sub(count);
            if slot_mut.uses > 0 || id == NodeId::ROOT {
                continue;
            }
            let node = slot.remove().node;
            drop(shard);
            {
                let state = node.state.read();
                if self.was_moved(state.real).is_some() {
                    let mut moved = self.moved.write();
                    moved.remove(&state.real);
                    self.moved_count.store(moved.len(), Ordering::SeqCst);
                }
                due.extend(state.places.iter().map(|place| (place.parent.id, 1)));
            }
            gone.push(node);
        }
        if !gone.is_empty() {
            self.shrink(self.count.fetch_sub(gone.len(), Ordering::Relaxed).saturating_sub(gone.len()));
        }
        gone
    }

    /// Gives memory back when half of the nodes that there were are gone: `count` are left.
    fn shrink(&self, count: usize) {
        let most = self.most.load(Ordering::Relaxed);
        if most < MANY || count > most / 2 {
            return;
        }
        // One of the threads that see this does it.
        if self.most.compare_exchange(most, count, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.shards.iter().for_each(|shard| shard.lock().shrink_to_fit());
            sys::give_back_memory();
        }
    }

    /// Keeps the number of a node whose content is now in another file, while it is known: not every file
    /// can carry a mark.
    pub(super) fn remember_moved(&self, real: Real, id: NodeId) {
        let mut moved = self.moved.write();
        moved.insert(real, id);
        self.moved_count.store(moved.len(), Ordering::SeqCst);
    }
}

/// A node owns its parent: without this, the last one to go would take a whole path along, one call deeper
/// with each directory.
impl Drop for Table {
    fn drop(&mut self) {
        let nodes: Vec<_> = self.shards.iter().flat_map(|shard| shard.lock().drain().collect::<Vec<_>>()).collect();
        let places: Vec<_> =
            nodes.iter().map(|(_, slot)| std::mem::take(&mut slot.node.state.write().places)).collect();
        drop(nodes);
        drop(places);
    }
}

fn compose(filesystem: usize, ino: u64) -> NodeId {
    let fits = ino >> FILESYSTEM_SHIFT == 0 && filesystem < 0x7f;
    // Numbers 0 and 1 mean nothing and the root to FUSE.
    if fits && !(filesystem == 0 && ino <= NodeId::ROOT.0) {
        NodeId((filesystem as u64) << FILESYSTEM_SHIFT | ino)
    } else {
        made_up(&(filesystem, ino))
    }
}

fn made_up(of: &impl Hash) -> NodeId {
    let mut hasher = std::hash::DefaultHasher::new();
    of.hash(&mut hasher);
    NodeId(hasher.finish() | MADE_UP)
}
