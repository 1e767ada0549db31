//! A cache of the sections read last, shared by all tables of this process.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use lru::LruCache;
use parking_lot::Mutex;

const SHARDS: u64 = 8;
/// Limit of one shard, in bytes. All shards together keep 2 MiB, even after a walk over a whole image.
const BYTES_MAX: usize = (2 << 20) / SHARDS as usize;
/// A shard keeps at least this many sections, however large they are.
const FEW: usize = 4;

/// A table, and a section of it.
type Key = (TableId, u32);

/// Identifies a table within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TableId(u64);

impl TableId {
    pub(super) fn next() -> TableId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        TableId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

struct Shard {
    sections: LruCache<Key, Arc<[u8]>>,
    bytes: usize,
}

static KEPT: LazyLock<Vec<Mutex<Shard>>> = LazyLock::new(|| {
    let each = NonZeroUsize::new(BYTES_MAX / 64).unwrap_or(NonZeroUsize::MIN);
    (0..SHARDS).map(|_| Mutex::new(Shard { sections: LruCache::new(each), bytes: 0 })).collect()
});

fn shard((table, section): Key) -> &'static Mutex<Shard> {
    &KEPT[((table.0 + u64::from(section)) % SHARDS) as usize]
}

/// The bytes of a section, if they are still cached.
pub(super) fn get(key: Key) -> Option<Arc<[u8]>> {
    shard(key).lock().sections.get(&key).cloned()
}

pub(super) fn put(key: Key, bytes: Arc<[u8]>) {
    shard(key).lock().put(key, bytes);
}

impl Shard {
    fn put(&mut self, key: Key, bytes: Arc<[u8]>) {
        self.bytes += bytes.len();
        // `push` returns the oldest section, or the same one if another thread has read it at the same time.
        if let Some((_, old)) = self.sections.push(key, bytes) {
            self.bytes -= old.len();
        }
        while self.bytes > BYTES_MAX && self.sections.len() > FEW {
            let Some((_, old)) = self.sections.pop_lru() else { break };
            self.bytes -= old.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_the_last_stay() {
        let mut shard = Shard { sections: LruCache::unbounded(), bytes: 0 };
        let table = TableId(0);
        for section in 0..100 {
            shard.put((table, section), vec![0; BYTES_MAX / 10].into());
            shard.put((table, section), vec![0; BYTES_MAX / 10].into());
        }
        assert_eq!((shard.sections.len(), shard.bytes), (10, BYTES_MAX / 10 * 10));
        assert!(shard.sections.contains(&(table, 99)) && !shard.sections.contains(&(table, 89)));
        for section in 0..10 {
            shard.put((table, section), vec![0; BYTES_MAX].into());
        }
        assert_eq!((shard.sections.len(), shard.bytes), (FEW, BYTES_MAX * FEW));
    }
}
