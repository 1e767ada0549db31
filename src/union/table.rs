//! The table of known nodes by number, and the way numbers are made.
//!
//! A node stays in the table while the kernel holds lookups of it or another node has its place in it. A number is the
//! inode number on the host with the position of its file system in the top byte. File systems are counted from the
//! bottom layer up, so that numbers stay the same after a remount and with more layers on top. A copied-up file keeps
//! the number of the lower file, by its origin mark.

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
/// Set in numbers that are not made from an inode number of the host.
const MADE_UP: u64 = 1 << 63;

#[derive(Debug)]
struct Slot {
    node: Arc<Node>,
    /// Lookups that the kernel has not forgotten, plus places that known nodes have in this directory.
    uses: u64,
}

/// The identity of a file system: `dev` while it is mounted, `uuid` on disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileSystem {
    pub(super) dev: u64,
    pub(super) uuid: [u8; 16],
}

#[derive(Debug)]
pub(super) struct Table {
    shards: [Mutex<HashMap<NodeId, Slot>>; SHARDS],
    /// Those of the layers, bottom first, then others as they are met.
    filesystems: RwLock<Vec<FileSystem>>,
    /// Copies made since their nodes were looked up, with the number of the lower file, which they keep.
    moved: RwLock<HashMap<Real, NodeId>>,
    /// The length of `moved`, written under its lock: mostly 0, which saves every lookup the lock.
    moved_count: AtomicUsize,
    /// How many nodes there are.
    count: AtomicUsize,
    /// The largest `count` since memory was last given back.
    most: AtomicUsize,
}

/// The smallest number of nodes for which giving memory back is worth its cost.
const MANY: usize = 4096;

impl Table {
    /// `layers` has the file systems of the layers, bottom first.
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

    /// The node number of a file on the host.
    pub(super) fn id_of(&self, real: Real) -> NodeId {
        match self.was_moved(real) {
            Some(id) => id,
            None => compose(self.filesystem(real.dev), real.ino),
        }
    }

    /// The number that a copy keeps, if the file was copied up while its node was known.
    fn was_moved(&self, real: Real) -> Option<NodeId> {
        if self.moved_count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        self.moved.read().get(&real).copied()
    }

    /// Whether the node `id`, which has its attributes in `real`, has the number of another file.
    pub(super) fn is_copy(&self, real: Real, id: NodeId) -> bool {
        compose(self.filesystem(real.dev), real.ino) != id
    }

    /// The number of the file `real`, which is a copy of `origin`.
    pub(super) fn id_of_copy(&self, real: Real, origin: Origin) -> NodeId {
        self.number_of(origin).map_or_else(|| self.id_of(real), NodeId)
    }

    /// The number of an origin; `None` for an unknown file system or a reserved number.
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

    /// Finds or makes the node of a file and counts one use. If another file has the number already, by a hash
    /// collision or a copied mark, the next free number is taken.
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
            // States are locked only after the shard's lock is released, since that is the innermost lock.
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

    /// Counts a use of each parent of a new node.
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

    /// Gives back `count` uses. A node without uses is removed, and so are parents that only it used. Returns the
    /// removed nodes.
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

    /// Gives memory back if at least half of the nodes are gone; `count` are left.
    fn shrink(&self, count: usize) {
        let most = self.most.load(Ordering::Relaxed);
        if most < MANY || count > most / 2 {
            return;
        }
        // Only one thread does it.
        if self.most.compare_exchange(most, count, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.shards.iter().for_each(|shard| shard.lock().shrink_to_fit());
            sys::give_back_memory();
        }
    }

    /// Keeps the number of a copied-up node while the node is known; needed since not every file can carry an origin
    /// mark.
    pub(super) fn remember_moved(&self, real: Real, id: NodeId) {
        let mut moved = self.moved.write();
        moved.insert(real, id);
        self.moved_count.store(moved.len(), Ordering::SeqCst);
    }
}

/// A node owns its parent. Without this, dropping the last node of a deep path would drop its parents recursively and
/// could overflow the stack.
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
    // In FUSE, number 0 means no node and 1 means the root.
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
