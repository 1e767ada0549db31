//! Directories and files of lower layers, by where they are: nothing here is open.
//!
//! Lower layers never change. A directory of a layer that has a table of contents is answered for by the table.

use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::sys::{Name, NameBuf, Result};

use super::contents::{Contents, Record, Section};
use super::whiteout::Listed;
use super::{Layers, Seen};

/// One directory of one lower layer. Lower layers never change, so its path is good for ever.
#[derive(Debug)]
pub struct LowerDir {
    pub layer: usize,
    /// Relative to the layer; `.` is the layer itself.
    pub path: Box<Path>,
    /// Names this directory in a cache of descriptors.
    pub serial: u64,
    /// Unless the layer has to be asked.
    section: Option<Section>,
}

/// One file of one lower layer.
#[derive(Clone, Debug)]
pub struct LowerFile {
    pub dir: Arc<LowerDir>,
    pub name: NameBuf,
}

impl LowerDir {
    pub fn new(layer: usize, path: impl Into<Box<Path>>) -> LowerDir {
        LowerDir::with(layer, path.into(), None)
    }

    /// The root of a layer.
    pub fn root(layer: usize, contents: Option<&Arc<Contents>>) -> LowerDir {
        LowerDir::with(layer, Path::new(".").into(), contents.and_then(Contents::root))
    }

    fn with(layer: usize, path: Box<Path>, section: Option<Section>) -> LowerDir {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        LowerDir { layer, path, serial: SERIAL.fetch_add(1, Ordering::Relaxed), section }
    }

    /// The directory `name` in this one.
    pub fn child(&self, name: &OsStr) -> LowerDir {
        let section = self.section.as_ref().and_then(|section| section.child(name));
        LowerDir::with(self.layer, self.path_of(name).into(), section)
    }

    /// Where `name` of this directory is, relative to the layer.
    pub fn path_of(&self, name: &OsStr) -> PathBuf {
        if &*self.path == Path::new(".") { PathBuf::from(name) } else { self.path.join(name) }
    }

    /// Whether `other`, of the same layer, is the directory `name` in this one.
    pub fn has_child(&self, name: Name<'_>, other: &LowerDir) -> bool {
        *self.path_of(name.as_os_str()) == *other.path
    }

    /// What the layer says of `name` in this directory.
    ///
    /// # Errors
    /// As [`LayerDir::see`](super::LayerDir::see).
    pub fn see(&self, layers: &impl Layers, name: Name<'_>) -> Result<Seen> {
        match self.section.as_ref().and_then(|section| section.see(name)) {
            Some(seen) => Ok(seen),
            None => layers.open(self)?.see(name),
        }
    }

    /// The names that the layer has here, as the table of contents has them; `None` where the layer has to be asked.
    pub fn listed(&self) -> Option<Listed> {
        self.section.as_ref()?.list()
    }

    /// What the table of contents says of the directory; `None` where the layer has to be asked.
    pub fn record(&self) -> Option<Record> {
        self.section.as_ref()?.own_record()
    }

    /// The layer's file system, where the table of contents knows it.
    pub fn known_dev(&self) -> Option<u64> {
        self.section.as_ref().map(Section::dev)
    }
}

impl LowerFile {
    /// What the table of contents says of the file; `None` where the layer has to be asked.
    pub fn record(&self) -> Option<Record> {
        self.dir.section.as_ref()?.record(self.name.as_name())
    }

    /// Relative to the layer.
    pub fn path(&self) -> PathBuf {
        self.dir.path_of(self.name.as_os_str())
    }

    /// Whether the file can be opened by its path as well as by its directory.
    pub fn is_in_contents(&self) -> bool {
        self.dir.section.is_some()
    }
}

/// The lower directories that merge in one of the union, newest first.
///
/// Where there are many, a table says which of them have a name, so that the rest are not asked.
#[derive(Debug, Default)]
pub struct LowerDirs {
    dirs: Vec<Arc<LowerDir>>,
    speakers: OnceLock<Speakers>,
}

/// So many are asked one after the other.
const FEW: usize = 4;

#[derive(Debug)]
struct Speakers {
    /// Sorted: the hash of a name in the upper half, which of the directories has it in the lower.
    rows: Box<[u64]>,
    /// The directories that have to be asked in any case.
    unknown: Box<[usize]>,
}

impl LowerDirs {
    pub fn push(&mut self, dir: Arc<LowerDir>) {
        self.dirs.push(dir);
        self.speakers = OnceLock::new();
    }

    /// The first directory from `from` on that may say something of `name`.
    pub(super) fn next(&self, from: usize, name: Name<'_>) -> Option<usize> {
        if self.dirs.len() - from.min(self.dirs.len()) <= FEW {
            return (from < self.dirs.len()).then_some(from);
        }
        self.speakers.get_or_init(|| Speakers::of(&self.dirs)).next(from, name.as_bytes())
    }
}

impl Deref for LowerDirs {
    type Target = [Arc<LowerDir>];
    fn deref(&self) -> &[Arc<LowerDir>] {
        &self.dirs
    }
}

impl FromIterator<Arc<LowerDir>> for LowerDirs {
    fn from_iter<I: IntoIterator<Item = Arc<LowerDir>>>(dirs: I) -> LowerDirs {
        LowerDirs { dirs: dirs.into_iter().collect(), speakers: OnceLock::new() }
    }
}

impl Speakers {
    fn of(dirs: &[Arc<LowerDir>]) -> Speakers {
        let count = dirs.iter().filter_map(|dir| dir.section.as_ref()).map(Section::len).sum();
        let (mut rows, mut unknown) = (Vec::with_capacity(count), Vec::new());
        for (which, dir) in dirs.iter().enumerate() {
            match &dir.section {
                Some(section) => rows.extend(section.names().map(|name| row(name, which))),
                None => unknown.push(which),
            }
        }
        rows.sort_unstable();
        Speakers { rows: rows.into(), unknown: unknown.into() }
    }

    /// The first from `from` on. Names that share a hash cost a question too many.
    fn next(&self, from: usize, name: &[u8]) -> Option<usize> {
        let wanted = row(name, from);
        let next = self.rows.get(self.rows.partition_point(|row| *row < wanted));
        let next = next.filter(|next| **next >> 32 == wanted >> 32).map(|next| (next & u64::from(u32::MAX)) as usize);
        let unknown = self.unknown.get(self.unknown.partition_point(|which| *which < from)).copied();
        next.into_iter().chain(unknown).min()
    }
}

/// There are fewer layers than half a row can count.
fn row(name: &[u8], which: usize) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish() >> 32 << 32 | which as u64
}
