//! A record of reads from the lower layers: which bytes of which file, and the time of the first read.
//!
//! Kept only if [`Spec::trace`](super::Spec::trace) is set. It has the reads that reach the daemon: the kernel's
//! read-ahead adds bytes that no program read, and reads from the page cache are missing. A copy-up counts as a read of
//! all the data that it copies.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::layer::LowerFile;

use super::Union;
use super::node::{Content, Node, NodeId};

/// The reads from the lower layers so far.
#[derive(Debug)]
pub struct Trace {
    begun: Instant,
    files: Mutex<HashMap<NodeId, Record>>,
}

/// The reads from one file. A copy-up of its data counts as a read of the whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRead {
    /// The layer's position: the topmost lower layer is 0; data-only layers come last.
    pub layer: usize,
    /// Path in the layer, without a leading `/`; one of them if the file has several names.
    pub path: PathBuf,
    /// Byte ranges in ascending order, which neither overlap nor touch.
    pub ranges: Vec<Range<u64>>,
    /// The number of reads.
    pub reads: u64,
    /// Time of the first read, since the trace began.
    pub first: Duration,
}

#[derive(Debug)]
struct Record {
    layer: usize,
    path: PathBuf,
    ranges: Ranges,
    reads: u64,
    first: Duration,
}

/// Starts of ranges to their ends.
#[derive(Debug, Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn add(&mut self, mut new: Range<u64>) {
        if new.is_empty() {
            return;
        }
        // Merges the new range with each one that it overlaps or touches, from the last to the first.
        while let Some((&start, &end)) = self.0.range(..=new.end).next_back().filter(|&(_, &end)| end >= new.start) {
            self.0.remove(&start);
            new = new.start.min(start)..new.end.max(end);
        }
        self.0.insert(new.start, new.end);
    }
}

impl Default for Trace {
    fn default() -> Trace {
        Trace { begun: Instant::now(), files: Mutex::default() }
    }
}

impl Trace {
    /// An empty trace that begins now.
    pub fn new() -> Trace {
        Trace::default()
    }

    /// The files that were read, ordered by the time of the first read.
    pub fn files(&self) -> Vec<FileRead> {
        let read = |record: &Record| FileRead {
            layer: record.layer,
            path: record.path.clone(),
            ranges: record.ranges.0.iter().map(|(&start, &end)| start..end).collect(),
            reads: record.reads,
            first: record.first,
        };
        let mut files: Vec<FileRead> = self.files.lock().values().map(read).collect();
        files.sort_by(|one, other| (one.first, &one.path).cmp(&(other.first, &other.path)));
        files
    }

    fn note(&self, id: NodeId, file: &LowerFile, range: Range<u64>) {
        let mut files = self.files.lock();
        let record = files.entry(id).or_insert_with(|| Record {
            layer: file.dir.layer(),
            path: file.path(),
            ranges: Ranges::default(),
            reads: 0,
            first: self.begun.elapsed(),
        });
        record.ranges.add(range);
        record.reads += 1;
    }
}

impl Union {
    /// Records that `count` bytes of the node's content at `offset` were read. Call this before a copy-up moves the
    /// content: it records reads of lower files only.
    pub(super) fn was_read(&self, node: &Node, offset: u64, count: u64) {
        let Some(trace) = self.trace.as_deref().filter(|_| count > 0) else { return };
        let state = node.state.read();
        let file = match (state.data_below(), &state.content) {
            (Some(data), _) => &data.file,
            (None, Content::Lower(lower)) => &lower.file,
            // Reads from the upper layer are not recorded.
            (None, _) => return,
        };
        trace.note(node.id, file, offset..offset.saturating_add(count));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Spec, UpperSpec};
    use super::*;
    use crate::sys::Name;

    #[test]
    fn ranges_that_meet_become_one() {
        for (added, kept) in [
            (&[][..], &[][..]),
            (&[(0, 4), (8, 12)], &[(0, 4), (8, 12)]),
            (&[(8, 12), (0, 4)], &[(0, 4), (8, 12)]),
            (&[(0, 4), (4, 8)], &[(0, 8)]),
            (&[(4, 8), (0, 4)], &[(0, 8)]),
            (&[(0, 4), (8, 12), (16, 20), (2, 17)], &[(0, 20)]),
            (&[(0, 10), (2, 3)], &[(0, 10)]),
            (&[(2, 3), (0, 10)], &[(0, 10)]),
            (&[(0, 4), (0, 4), (5, 5)], &[(0, 4)]),
        ] {
            let mut ranges = Ranges::default();
            added.iter().for_each(|&(start, end)| ranges.add(start..end));
            let ranges: Vec<(u64, u64)> = ranges.0.into_iter().collect();
            assert_eq!(ranges, kept, "{added:?}");
        }
    }

    #[test]
    fn reads_are_recorded_with_their_layer_except_reads_from_the_upper_layer() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for name in ["top", "base/a", "upper", "work"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        std::fs::write(at("top/t"), [0; 100]).unwrap();
        std::fs::write(at("base/a/b"), [0; 9000]).unwrap();
        std::fs::write(at("base/unread"), "x").unwrap();
        std::fs::write(at("upper/u"), "x").unwrap();
        let trace = Arc::new(Trace::new());
        let upper = Some(UpperSpec { dir: at("upper"), work: at("work") });
        let spec = Spec { upper, trace: Some(trace.clone()), ..Spec::new(vec![at("top"), at("base")]) };
        let union = Union::open(&spec).unwrap();
        let find = |dir, name: &str| union.lookup(dir, Name::new(name).unwrap()).unwrap().unwrap().id;
        let (t, u, a) = (find(NodeId::ROOT, "t"), find(NodeId::ROOT, "u"), find(NodeId::ROOT, "a"));
        let b = find(a, "b");
        find(NodeId::ROOT, "unread");
        let mut buffer = [0; 4096];
        for (id, offset) in [(b, 4096), (b, 0), (u, 0), (t, 0), (t, 100), (b, 0)] {
            union.read(id, offset, &mut buffer).unwrap();
        }
        let read = |layer, path: &str, (start, end), reads| (layer, PathBuf::from(path), start, end, reads);
        let noted = || -> Vec<_> {
            let only = |file: FileRead| match &file.ranges[..] {
                [range] => (file.layer, file.path, range.start, range.end, file.reads),
                several => panic!("{several:?}"),
            };
            trace.files().into_iter().map(only).collect()
        };
        assert_eq!(noted(), [read(1, "a/b", (0, 8192), 3), read(0, "t", (0, 100), 1)]);
        // The copy-up reads the whole file; later reads are from the upper layer.
        union.write(b, 0, b"x").unwrap();
        union.read(b, 0, &mut buffer).unwrap();
        assert_eq!(noted()[0], read(1, "a/b", (0, 9000), 4), "once more, as a whole");
        assert_eq!(noted().len(), 2);
    }
}
