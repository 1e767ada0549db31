//! Bounded caches of open descriptors: directories of layers, and the content of nodes.
//!
//! A descriptor is opened on first use and closed when it is among the least recently used. Open file handles of users
//! own none of them.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::layer::{LayerDir, OpenLowerDir};
use crate::sys::{File, Result};

use super::node::NodeId;

const SHARDS: u64 = 8;
/// How many directories of the lower layers are kept open, and as many of the upper layer. This is enough for an
/// image of six layers. Each takes memory here and in the kernel; opening one again takes one system call.
const DIRS_MAX: usize = 8192;

/// The file of a node that a descriptor is open on. After a copy-up the lower one must not be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FileKey {
    Lower(NodeId),
    Upper(NodeId),
    /// As `Upper`, opened for reading without moving the access time.
    Quiet(NodeId),
}

#[derive(Debug)]
pub(super) struct Descriptors {
    upper_dirs: Sharded<NodeId, LayerDir>,
    /// By serial number.
    lower_dirs: Sharded<u64, OpenLowerDir>,
    files: Sharded<FileKey, File>,
}

#[derive(Debug)]
struct Sharded<K: Hash + Eq, V>(Vec<Mutex<LruCache<K, Arc<V>>>>);

impl Descriptors {
    /// Caches for at most about `limit` descriptors in all.
    pub(super) fn new(limit: usize) -> Descriptors {
        let dirs = DIRS_MAX.min(limit / 4);
        Descriptors { upper_dirs: Sharded::new(dirs), lower_dirs: Sharded::new(dirs), files: Sharded::new(limit / 4) }
    }

    /// The upper layer's directory of node `id`; `open` runs if it is not open.
    pub(super) fn upper_dir(&self, id: NodeId, open: impl FnOnce() -> Result<LayerDir>) -> Result<Arc<LayerDir>> {
        self.upper_dirs.get(id.0, id, open)
    }

    /// The directory of a lower layer with this serial number; `open` runs if it is not open.
    pub(super) fn lower_dir(
        &self,
        serial: u64,
        open: impl FnOnce() -> Result<OpenLowerDir>,
    ) -> Result<Arc<OpenLowerDir>> {
        self.lower_dirs.get(serial, serial, open)
    }

    /// The upper layer's directory of node `id`, if it is open.
    pub(super) fn open_upper_dir(&self, id: NodeId) -> Option<Arc<LayerDir>> {
        self.upper_dirs.shard(id.0).lock().get(&id).cloned()
    }

    pub(super) fn file(&self, key: FileKey, open: impl FnOnce() -> Result<File>) -> Result<Arc<File>> {
        self.files.get(key.hash(), key, open)
    }

    pub(super) fn keep_file(&self, key: FileKey, file: File) {
        self.files.shard(key.hash()).lock().put(key, Arc::new(file));
    }

    /// Closes all descriptors of a node.
    pub(super) fn forget(&self, id: NodeId) {
        for key in [FileKey::Lower(id), FileKey::Upper(id), FileKey::Quiet(id)] {
            self.files.shard(key.hash()).lock().pop(&key);
        }
        self.upper_dirs.shard(id.0).lock().pop(&id);
    }

    /// Closes directories of lower layers that no node uses any longer.
    pub(super) fn forget_dirs(&self, serials: impl IntoIterator<Item = u64>) {
        for serial in serials {
            self.lower_dirs.shard(serial).lock().pop(&serial);
        }
    }

    /// Closes the lower file of a node.
    pub(super) fn forget_lower(&self, id: NodeId) {
        let key = FileKey::Lower(id);
        self.files.shard(key.hash()).lock().pop(&key);
    }
}

impl FileKey {
    fn hash(self) -> u64 {
        let (FileKey::Lower(id) | FileKey::Upper(id) | FileKey::Quiet(id)) = self;
        id.0
    }
}

impl<K: Hash + Eq, V> Sharded<K, V> {
    fn new(limit: usize) -> Self {
        let each = NonZeroUsize::new(limit / SHARDS as usize).unwrap_or(NonZeroUsize::MIN);
        Sharded((0..SHARDS).map(|_| Mutex::new(LruCache::new(each))).collect())
    }

    fn shard(&self, hash: u64) -> &Mutex<LruCache<K, Arc<V>>> {
        &self.0[(hash % SHARDS) as usize]
    }

    /// Opens outside the lock; when two threads race, both descriptors are good and one is kept.
    fn get(&self, hash: u64, key: K, open: impl FnOnce() -> Result<V>) -> Result<Arc<V>> {
        if let Some(open) = self.shard(hash).lock().get(&key) {
            return Ok(open.clone());
        }
        let opened = Arc::new(open()?);
        self.shard(hash).lock().put(key, opened.clone());
        Ok(opened)
    }
}
