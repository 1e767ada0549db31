//! Directories and files of lower layers, kept by layer and path. Nothing here is open.
//!
//! Lower layers never change, so a path stays valid. In a layer with a table of contents the table answers for its
//! directories. The content of lower files is read only through [`LowerFile`].

use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use crate::sys::{Errno, File, Name, NameBuf, OFlags, Result};

use super::toc::{Record, Section, Toc};
use super::whiteout::Listed;
use super::{Found, Indexed, LayerDir, LayerEntry, LowerLayer, Namespace, Verdict};

/// Where one layer has an entry.
#[derive(Clone, Debug)]
pub enum Part {
    /// In the upper layer.
    Upper,
    /// In a lower layer.
    Lower(LowerFile),
    /// In the hardlink index: the copy of a lower file with several names, which stands for all of them.
    Index(Arc<Indexed>),
}

impl Part {
    /// The file, if it is in a lower layer.
    pub fn lower(&self) -> Option<&LowerFile> {
        match self {
            Part::Lower(file) => Some(file),
            Part::Upper | Part::Index(_) => None,
        }
    }
}

/// The lower layers, topmost first. Implementors differ in how many directories they keep open: a mount keeps those in
/// use, a comparison only a few.
pub trait Layers {
    /// The number of layers that are searched for names; data-only layers follow them.
    fn count(&self) -> usize;
    /// The number of data-only layers.
    fn data_only(&self) -> usize;
    /// The layer number `which`, from the top; data-only layers included.
    ///
    /// # Errors
    /// `EIO` if there is no such layer.
    fn layer(&self, which: usize) -> Result<&LowerLayer>;
    /// Opens a directory, or returns one that is kept open.
    ///
    /// # Errors
    /// As `openat2(2)`.
    fn open(&self, dir: &LowerDir) -> Result<Arc<OpenLowerDir>>;
    /// The namespace whose marks count.
    fn namespace(&self) -> Namespace;
    /// Whether redirect marks are followed.
    fn follows_redirects(&self) -> bool;
    /// The copy in the hardlink index that replaces a lower file with several names; `found` describes that file.
    ///
    /// # Errors
    /// The first error of reading the index.
    fn copy_of(&self, file: &LowerFile, found: &Found) -> Result<Option<(Part, Found)>>;
}

/// An open directory of a lower layer. Implementors of [`Layers`] keep it; only this module uses what is inside.
#[derive(Debug)]
pub struct OpenLowerDir(LayerDir);

impl OpenLowerDir {
    pub(super) fn dir(&self) -> &LayerDir {
        &self.0
    }
}

/// One directory of one lower layer.
#[derive(Clone, Debug)]
pub struct LowerDir {
    merged: Arc<Merged>,
    which: u32,
}

/// One file of one lower layer.
#[derive(Clone, Debug)]
pub struct LowerFile {
    /// The directory that has the entry.
    pub dir: LowerDir,
    /// The entry's name.
    pub name: NameBuf,
}

/// The tables of contents by layer; `None` for a layer without one.
pub type Known = Arc<Vec<Option<Arc<Toc>>>>;

/// The lower directories that merge in one directory of the union, newest first. Each costs eight bytes.
///
/// If there are more than a few, a table of name hashes says which of them may have a name; a lookup skips the others.
#[derive(Clone, Debug, Default)]
pub struct LowerDirs(Option<Arc<Merged>>);

#[derive(Debug)]
struct Merged {
    parts: SmallVec<[PartDir; 2]>,
    paths: Paths,
    known: Option<Known>,
    /// The serial number of the first part; the other parts have the numbers after it.
    serial: u64,
    name_table: OnceLock<Box<NameTable>>,
}

#[derive(Clone, Copy, Debug)]
struct PartDir {
    layer: u32,
    /// The directory's section in the layer's table of contents; [`NO_SECTION`] if the directory itself must be read.
    section: u32,
}

const NO_SECTION: u32 = u32::MAX;

/// The paths of the directories in their layers; `/` is the root of a layer.
#[derive(Debug)]
enum Paths {
    /// All layers have the directory at this path: the usual case without redirects.
    Same(Arc<Path>),
    Each(Box<[Arc<Path>]>),
}

/// Reserves `count` serial numbers and returns the first.
fn serials(count: usize) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(count as u64, Ordering::Relaxed)
}

impl LowerDir {
    /// A directory that merges with no other and has no section in a table of contents. `path` begins with `/`.
    pub fn new(layer: usize, path: &Path) -> LowerDir {
        let parts = SmallVec::from_iter([PartDir { layer: layer as u32, section: NO_SECTION }]);
        LowerDir { merged: Merged::with(parts, Paths::Same(path.into()), None), which: 0 }
    }

    fn part(&self) -> PartDir {
        // Every constructor checks that `which` is below the number of parts.
        self.merged.parts[self.which as usize]
    }

    /// The position among the directories that merge.
    pub(super) fn which(&self) -> usize {
        self.which as usize
    }

    /// The number of the layer, from the top.
    pub fn layer(&self) -> usize {
        self.part().layer as usize
    }

    /// The path in the layer, beginning with `/`.
    fn absolute(&self) -> &Arc<Path> {
        match &self.merged.paths {
            Paths::Same(path) => path,
            Paths::Each(paths) => &paths[self.which as usize],
        }
    }

    /// The path relative to the layer; `.` for the layer's root.
    pub fn path(&self) -> &Path {
        match self.absolute().strip_prefix("/") {
            Ok(path) if !path.as_os_str().is_empty() => path,
            _ => Path::new("."),
        }
    }

    /// A number that identifies this directory in a cache of descriptors.
    pub fn serial(&self) -> u64 {
        self.merged.serial + u64::from(self.which)
    }

    /// The section of the table of contents; `None` if the directory itself must be read.
    fn section(&self) -> Option<Section> {
        self.merged.section(self.part())
    }

    /// The path of `name` in this directory, relative to the layer.
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

    /// Opens the directory, for an implementation of [`Layers::open`].
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open(&self, layers: &impl Layers) -> Result<OpenLowerDir> {
        layers.layer(self.layer())?.root().open_dir(self.path()).map(OpenLowerDir)
    }

    /// The directory's attributes, for reading.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn reach(&self, layers: &impl Layers) -> Result<LayerEntry> {
        Ok(LayerEntry::of_lower(layers.open(self)?, None))
    }

    /// What the layer says of `name` in this directory; `last` means that no directory below has the name.
    ///
    /// # Errors
    /// As [`LayerDir::lookup`](super::LayerDir::lookup).
    pub fn lookup(&self, layers: &impl Layers, name: Name<'_>, last: bool) -> Result<Verdict> {
        match self.section().and_then(|section| section.lookup(name)) {
            Some(verdict) => Ok(verdict),
            None if last => layers.open(self)?.dir().lookup_last(name),
            None => layers.open(self)?.dir().lookup(name),
        }
    }

    /// The listing in the table of contents; `None` if the directory itself must be read.
    pub(super) fn listed(&self) -> Option<Listed> {
        self.section()?.list()
    }

    /// What the table of contents says of the directory; `None` if the directory itself must be read.
    pub fn record(&self) -> Option<Record> {
        self.section()?.own_record()
    }

    /// The device number of the layer's file system, if the table of contents answers for this directory.
    pub(super) fn known_dev(&self) -> Option<u64> {
        self.section().map(|section| section.dev())
    }
}

impl LowerFile {
    /// What the table of contents says of the file; `None` if the file itself must be read.
    pub fn record(&self) -> Option<Record> {
        self.dir.section()?.record(self.name.as_name())
    }

    /// The path relative to the layer.
    pub fn path(&self) -> PathBuf {
        self.dir.path_of(self.name.as_os_str())
    }

    /// The file, for reading its attributes and content.
    ///
    /// # Errors
    /// As `openat2(2)` for its directory.
    pub fn reach(&self, layers: &impl Layers) -> Result<LayerEntry> {
        Ok(LayerEntry::of_lower(layers.open(&self.dir)?, Some(self.name.clone())))
    }

    /// Opens the content for reading. Reading does not change the access time if this process may avoid that.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open(&self, layers: &impl Layers) -> Result<File> {
        if self.dir.part().section != NO_SECTION {
            // The table answered all lookups, so the directory is probably not open; opening it is not worth it.
            match layers.layer(self.dir.layer())?.root().open_file_quietly(self.path(), OFlags::RDONLY) {
                Err(Errno::NAMETOOLONG) => {}
                other => return other,
            }
        }
        self.reach(layers)?.open()
    }
}

impl Merged {
    fn with(parts: SmallVec<[PartDir; 2]>, paths: Paths, known: Option<Known>) -> Arc<Merged> {
        let serial = serials(parts.len());
        Arc::new(Merged { parts, paths, known, serial, name_table: OnceLock::new() })
    }

    fn section(&self, part: PartDir) -> Option<Section> {
        let toc = self.known.as_ref()?.get(part.layer as usize)?.as_ref()?;
        (part.section != NO_SECTION).then(|| Section::checked(toc, part.section))
    }
}

impl LowerDirs {
    /// The roots of the `count` topmost layers.
    fn roots(count: usize, known: Option<Known>) -> LowerDirs {
        let section = |layer: usize| {
            let toc = known.as_ref()?.get(layer)?.as_ref()?;
            Some(toc.root()?.number())
        };
        let part = |layer| PartDir { layer: layer as u32, section: section(layer).unwrap_or(NO_SECTION) };
        let parts: SmallVec<_> = (0..count).map(part).collect();
        LowerDirs((count > 0).then(|| Merged::with(parts, Paths::Same(Path::new("/").into()), known)))
    }

    /// The directories that merge in the root: those of all layers down to the first opaque one.
    ///
    /// # Errors
    /// As [`LayerDir::is_opaque`].
    pub fn merging_roots(layers: &impl Layers) -> Result<LowerDirs> {
        let all = (0..layers.count()).map(|which| layers.layer(which)).collect::<Result<Vec<_>>>()?;
        let known: Vec<_> = all.iter().map(|layer| layer.toc().cloned()).collect();
        let roots = LowerDirs::roots(all.len(), known.iter().any(Option::is_some).then(|| Arc::new(known)));
        let mut count = 0;
        for (layer, root) in all.iter().zip(roots.iter()) {
            count += 1;
            let known = root.record().map(|record| record.found.opaque);
            if known.map_or_else(|| layer.root().is_opaque(), Ok)? {
                break;
            }
        }
        Ok(roots.topmost(count))
    }

    /// The directories `files`, which merge. `path`, beginning with `/`, is where most layers have them.
    pub fn of<'f>(files: impl IntoIterator<Item = &'f LowerFile>, path: &Arc<Path>) -> LowerDirs {
        let (mut parts, mut paths, mut known) = (SmallVec::new(), Vec::new(), None);
        for file in files {
            let (dir, name) = (&file.dir, file.name.as_os_str());
            let section = dir.section().and_then(|section| section.child(name));
            parts.push(PartDir {
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
    fn topmost(self, count: usize) -> LowerDirs {
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

    /// How many layers have the directory.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |merged| merged.parts.len())
    }

    /// Whether no layer has the directory.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The directory in the layer `which`, counted from the topmost.
    pub fn get(&self, which: usize) -> Option<LowerDir> {
        let merged = self.0.as_ref().filter(|merged| which < merged.parts.len())?;
        Some(LowerDir { merged: merged.clone(), which: which as u32 })
    }

    /// The directory in the topmost layer that has it.
    pub fn first(&self) -> Option<LowerDir> {
        self.get(0)
    }

    /// The directories, topmost first.
    pub fn iter(&self) -> impl Iterator<Item = LowerDir> {
        (0..self.len()).filter_map(|which| self.get(which))
    }

    /// The first directory from position `from` on that may have or hide `name`.
    pub(super) fn next(&self, from: usize, name: Name<'_>) -> Option<LowerDir> {
        let merged = self.0.as_ref()?;
        if merged.parts.len() - from.min(merged.parts.len()) <= FEW {
            return self.get(from);
        }
        let name_table = merged.name_table.get_or_init(|| Box::new(NameTable::of(merged)));
        self.get(name_table.next(from, name.as_bytes())?)
    }
}

/// Up to this many directories are searched one after the other, without a [`NameTable`].
const FEW: usize = 4;

/// Which of the directories that merge may have or hide a name.
#[derive(Debug)]
struct NameTable {
    /// Sorted. The upper half is the hash of a name, the lower half the position of a directory that has or hides it.
    rows: Box<[u64]>,
    /// Positions of directories without a section, which every lookup must search.
    unknown: Box<[usize]>,
}

impl NameTable {
    fn of(merged: &Merged) -> NameTable {
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
        NameTable { rows: rows.into(), unknown: unknown.into() }
    }

    /// The first position from `from` on. A hash collision costs one needless lookup.
    fn next(&self, from: usize, name: &[u8]) -> Option<usize> {
        let wanted = row(name, from);
        let next = self.rows.get(self.rows.partition_point(|row| *row < wanted));
        let next = next.filter(|next| **next >> 32 == wanted >> 32).map(|next| (next & u64::from(u32::MAX)) as usize);
        let unknown = self.unknown.get(self.unknown.partition_point(|which| *which < from)).copied();
        next.into_iter().chain(unknown).min()
    }
}

/// One row of a [`NameTable`]. There are always fewer than 2^32 layers, so `which` fits into the lower half.
fn row(name: &[u8], which: usize) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish() >> 32 << 32 | which as u64
}
