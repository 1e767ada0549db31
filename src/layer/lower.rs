//! Directories and files of lower layers, by where they are: nothing here is open.
//!
//! Lower layers never change. A directory of a layer that has a table of contents is answered for by the table.

use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use crate::sys::{Name, NameBuf, Result};

use super::contents::{Contents, Record, Section};
use super::whiteout::Listed;
use super::{Layers, Seen};

/// One directory of one lower layer. Lower layers never change, so its path is good for ever.
#[derive(Clone, Debug)]
pub struct LowerDir {
    merged: Arc<Merged>,
    which: u32,
}

/// One file of one lower layer.
#[derive(Clone, Debug)]
pub struct LowerFile {
    pub dir: LowerDir,
    pub name: NameBuf,
}

/// The tables of contents of the layers that have one, by layer.
pub type Known = Arc<Vec<Option<Arc<Contents>>>>;

/// The lower directories that merge in one of the union, newest first. However many there are, each costs eight bytes.
///
/// Where there are many, a table says which of them have a name, so that the rest are not asked.
#[derive(Clone, Debug, Default)]
pub struct LowerDirs(Option<Arc<Merged>>);

#[derive(Debug)]
struct Merged {
    parts: SmallVec<[Part; 2]>,
    paths: Paths,
    known: Option<Known>,
    /// That of the first; the others have those that follow.
    serial: u64,
    speakers: OnceLock<Box<Speakers>>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    layer: u32,
    /// Of the layer's table of contents; [`NO_SECTION`] where the layer has to be asked.
    section: u32,
}

const NO_SECTION: u32 = u32::MAX;

/// Where the layers have the directories, from `/` on, which is the layer.
#[derive(Debug)]
enum Paths {
    /// All where the union has it, unless a redirect leads elsewhere.
    Same(Arc<Path>),
    Each(Box<[Arc<Path>]>),
}

/// Directories are numbered as they are met.
fn serials(count: usize) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(count as u64, Ordering::Relaxed)
}

impl LowerDir {
    /// A directory that merges with nothing, and that the layer itself is asked about. `path` begins with `/`.
    pub fn new(layer: usize, path: &Path) -> LowerDir {
        let parts = SmallVec::from_iter([Part { layer: layer as u32, section: NO_SECTION }]);
        LowerDir { merged: Merged::with(parts, Paths::Same(path.into()), None), which: 0 }
    }

    fn part(&self) -> Part {
        // Whoever made this had the directory before him.
        self.merged.parts[self.which as usize]
    }

    /// Its place among those that merge.
    pub(super) fn which(&self) -> usize {
        self.which as usize
    }

    pub fn layer(&self) -> usize {
        self.part().layer as usize
    }

    /// As the layer has it, from `/` on.
    fn absolute(&self) -> &Arc<Path> {
        match &self.merged.paths {
            Paths::Same(path) => path,
            Paths::Each(paths) => &paths[self.which as usize],
        }
    }

    /// Relative to the layer; `.` is the layer itself.
    pub fn path(&self) -> &Path {
        match self.absolute().strip_prefix("/") {
            Ok(path) if !path.as_os_str().is_empty() => path,
            _ => Path::new("."),
        }
    }

    /// Names this directory in a cache of descriptors.
    pub fn serial(&self) -> u64 {
        self.merged.serial + u64::from(self.which)
    }

    /// Unless the layer has to be asked.
    fn section(&self) -> Option<Section> {
        self.merged.section(self.part())
    }

    /// Where `name` of this directory is, relative to the layer.
    pub fn path_of(&self, name: &OsStr) -> PathBuf {
        let path = self.path();
        if path == Path::new(".") { PathBuf::from(name) } else { path.join(name) }
    }

    /// Whether `other` is the directory `name` in this one.
    pub fn has_child(&self, name: Name<'_>, other: &LowerDir) -> bool {
        let path = other.absolute();
        let is_there = path.parent() == Some(self.absolute()) && path.file_name() == Some(name.as_os_str());
        is_there && other.layer() == self.layer()
    }

    /// What the layer says of `name` in this directory; `last` where those below do not have it.
    ///
    /// # Errors
    /// As [`LayerDir::see`](super::LayerDir::see).
    pub fn see(&self, layers: &impl Layers, name: Name<'_>, last: bool) -> Result<Seen> {
        match self.section().and_then(|section| section.see(name)) {
            Some(seen) => Ok(seen),
            None if last => layers.open(self)?.see_last(name),
            None => layers.open(self)?.see(name),
        }
    }

    /// The names that the layer has here, as the table of contents has them; `None` where the layer has to be asked.
    pub fn listed(&self) -> Option<Listed> {
        self.section()?.list()
    }

    /// What the table of contents says of the directory; `None` where the layer has to be asked.
    pub fn record(&self) -> Option<Record> {
        self.section()?.own_record()
    }

    /// The layer's file system, where the table of contents knows it.
    pub fn known_dev(&self) -> Option<u64> {
        self.section().map(|section| section.dev())
    }
}

impl LowerFile {
    /// What the table of contents says of the file; `None` where the layer has to be asked.
    pub fn record(&self) -> Option<Record> {
        self.dir.section()?.record(self.name.as_name())
    }

    /// Relative to the layer.
    pub fn path(&self) -> PathBuf {
        self.dir.path_of(self.name.as_os_str())
    }

    /// Whether the file can be opened by its path as well as by its directory.
    pub fn is_in_contents(&self) -> bool {
        self.dir.part().section != NO_SECTION
    }
}

impl Merged {
    fn with(parts: SmallVec<[Part; 2]>, paths: Paths, known: Option<Known>) -> Arc<Merged> {
        let serial = serials(parts.len());
        Arc::new(Merged { parts, paths, known, serial, speakers: OnceLock::new() })
    }

    fn section(&self, part: Part) -> Option<Section> {
        let contents = self.known.as_ref()?.get(part.layer as usize)?.as_ref()?;
        (part.section != NO_SECTION).then(|| Section::checked(contents, part.section))
    }
}

impl LowerDirs {
    /// The roots of the `count` topmost layers.
    pub fn roots(count: usize, known: Option<Known>) -> LowerDirs {
        let section = |layer: usize| {
            let contents = known.as_ref()?.get(layer)?.as_ref()?;
            Some(contents.root()?.number())
        };
        let part = |layer| Part { layer: layer as u32, section: section(layer).unwrap_or(NO_SECTION) };
        let parts: SmallVec<_> = (0..count).map(part).collect();
        LowerDirs((count > 0).then(|| Merged::with(parts, Paths::Same(Path::new("/").into()), known)))
    }

    /// What merges in a directory of which `files` are the parts. Most layers have it at `path`, from `/` on.
    pub fn of<'f>(files: impl IntoIterator<Item = &'f LowerFile>, path: &Arc<Path>) -> LowerDirs {
        let (mut parts, mut paths, mut known) = (SmallVec::new(), Vec::new(), None);
        for file in files {
            let (dir, name) = (&file.dir, file.name.as_os_str());
            let section = dir.section().and_then(|section| section.child(name));
            parts.push(Part {
                layer: dir.part().layer,
                section: section.map_or(NO_SECTION, |section| section.number()),
            });
            let is_there = path.parent() == Some(dir.absolute()) && path.file_name() == Some(name);
            paths.push(if is_there { path.clone() } else { dir.absolute().join(name).into() });
            known = known.or_else(|| dir.merged.known.clone());
        }
        let Some(first) = paths.first().cloned() else { return LowerDirs::default() };
        let same = paths.iter().all(|path| *path == first);
        LowerDirs(Some(Merged::with(parts, if same { Paths::Same(first) } else { Paths::Each(paths.into()) }, known)))
    }

    /// The first `count` of these.
    pub fn topmost(self, count: usize) -> LowerDirs {
        match self.0 {
            Some(all) if count < all.parts.len() => {
                let parts = all.parts.iter().take(count).copied().collect();
                let paths = match &all.paths {
                    Paths::Same(path) => Paths::Same(path.clone()),
                    Paths::Each(paths) => Paths::Each(paths.iter().take(count).cloned().collect()),
                };
                LowerDirs((count > 0).then(|| Merged::with(parts, paths, all.known.clone())))
            }
            all => LowerDirs(all),
        }
    }

    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |merged| merged.parts.len())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub fn get(&self, which: usize) -> Option<LowerDir> {
        let merged = self.0.as_ref().filter(|merged| which < merged.parts.len())?;
        Some(LowerDir { merged: merged.clone(), which: which as u32 })
    }

    pub fn first(&self) -> Option<LowerDir> {
        self.get(0)
    }

    pub fn iter(&self) -> impl Iterator<Item = LowerDir> {
        (0..self.len()).filter_map(|which| self.get(which))
    }

    /// The first directory from `from` on that may say something of `name`.
    pub(super) fn next(&self, from: usize, name: Name<'_>) -> Option<LowerDir> {
        let merged = self.0.as_ref()?;
        if merged.parts.len() - from.min(merged.parts.len()) <= FEW {
            return self.get(from);
        }
        let speakers = merged.speakers.get_or_init(|| Box::new(Speakers::of(merged)));
        self.get(speakers.next(from, name.as_bytes())?)
    }
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

impl Speakers {
    fn of(merged: &Merged) -> Speakers {
        let (mut rows, mut unknown) = (Vec::new(), Vec::new());
        for (which, part) in merged.parts.iter().enumerate() {
            let before = rows.len();
            let section = merged.section(*part);
            if section.and_then(|section| section.each_name(|name| rows.push(row(name, which)))).is_none() {
                rows.truncate(before);
                unknown.push(which);
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
