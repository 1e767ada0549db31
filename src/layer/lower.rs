//! Directories and files of lower layers, by where they are: nothing here is open.
//!
//! Lower layers never change. A directory of a layer that has a table of contents is answered for by the table. What a
//! file holds is read through [`LowerFile`] alone.

use std::ffi::OsStr;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use crate::sys::{Errno, File, Name, NameBuf, OFlags, Result};

use super::contents::{Contents, Record, Section};
use super::whiteout::Listed;
use super::{Found, Indexed, LayerDir, LayerEntry, LowerLayer, Namespace, Seen};

/// Where one layer has an entry.
#[derive(Clone, Debug)]
pub enum Part {
    Upper,
    Lower(LowerFile),
    /// In the index: a file of several names below, which the upper layer has for all of them.
    Index(Arc<Indexed>),
}

impl Part {
    /// Where a lower layer has it.
    pub fn lower(&self) -> Option<&LowerFile> {
        match self {
            Part::Lower(file) => Some(file),
            Part::Upper | Part::Index(_) => None,
        }
    }
}

/// The lower layers, topmost first. A mount keeps descriptors of their directories, and a comparison few.
pub trait Layers {
    /// How many take part in a search; data-only layers follow them.
    fn count(&self) -> usize;
    fn data_only(&self) -> usize;
    /// # Errors
    /// `EIO` for a layer that there is not.
    fn layer(&self, which: usize) -> Result<&LowerLayer>;
    /// # Errors
    /// As `openat2(2)`.
    fn open(&self, dir: &LowerDir) -> Result<Arc<OpenLowerDir>>;
    /// In whose marks to believe.
    fn namespace(&self) -> Namespace;
    /// Whether directories may continue elsewhere.
    fn follows_redirects(&self) -> bool;
    /// The copy in the index that a lower file of several names, which is `found`, was replaced by.
    ///
    /// # Errors
    /// What the index answers.
    fn copy_of(&self, file: &LowerFile, found: &Found) -> Result<Option<(Part, Found)>>;
}

/// A directory of a lower layer, open, for who keeps it. What it is concerns this module alone.
#[derive(Debug)]
pub struct OpenLowerDir(LayerDir);

impl OpenLowerDir {
    pub(super) fn dir(&self) -> &LayerDir {
        &self.0
    }
}

/// One directory of one lower layer. Lower layers never change, so its path is good for ever.
#[derive(Clone, Debug)]
pub struct LowerDir {
    merged: Arc<Merged>,
    which: u32,
}

/// One file of one lower layer. Nothing else opens what lower files hold.
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
    parts: SmallVec<[PartDir; 2]>,
    paths: Paths,
    known: Option<Known>,
    /// That of the first; the others have those that follow.
    serial: u64,
    speakers: OnceLock<Box<Speakers>>,
}

#[derive(Clone, Copy, Debug)]
struct PartDir {
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
        let parts = SmallVec::from_iter([PartDir { layer: layer as u32, section: NO_SECTION }]);
        LowerDir { merged: Merged::with(parts, Paths::Same(path.into()), None), which: 0 }
    }

    fn part(&self) -> PartDir {
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

    /// Opens the directory, for an implementation of [`Layers::open`].
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open(&self, layers: &impl Layers) -> Result<OpenLowerDir> {
        layers.layer(self.layer())?.root().open_dir(self.path()).map(OpenLowerDir)
    }

    /// The directory, for all that is to be read of it.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn reach(&self, layers: &impl Layers) -> Result<LayerEntry> {
        Ok(LayerEntry::of_lower(layers.open(self)?, None))
    }

    /// What the layer says of `name` in this directory; `last` where those below do not have it.
    ///
    /// # Errors
    /// As [`LayerDir::see`](super::LayerDir::see).
    pub fn see(&self, layers: &impl Layers, name: Name<'_>, last: bool) -> Result<Seen> {
        match self.section().and_then(|section| section.see(name)) {
            Some(seen) => Ok(seen),
            None if last => layers.open(self)?.dir().see_last(name),
            None => layers.open(self)?.dir().see(name),
        }
    }

    /// The names that the layer has here, as the table of contents has them; `None` where the layer has to be asked.
    pub(super) fn listed(&self) -> Option<Listed> {
        self.section()?.list()
    }

    /// What the table of contents says of the directory; `None` where the layer has to be asked.
    pub fn record(&self) -> Option<Record> {
        self.section()?.own_record()
    }

    /// The layer's file system, where the table of contents knows it.
    pub(super) fn known_dev(&self) -> Option<u64> {
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

    /// The file, for all that is to be read of it.
    ///
    /// # Errors
    /// As `openat2(2)`, of its directory.
    pub fn reach(&self, layers: &impl Layers) -> Result<LayerEntry> {
        Ok(LayerEntry::of_lower(layers.open(&self.dir)?, Some(self.name.clone())))
    }

    /// Opens the content for reading, and leaves the time of the last access as it is.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open(&self, layers: &impl Layers) -> Result<File> {
        if self.dir.part().section != NO_SECTION {
            // Nobody has needed its directory, and maybe nobody will.
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
        Arc::new(Merged { parts, paths, known, serial, speakers: OnceLock::new() })
    }

    fn section(&self, part: PartDir) -> Option<Section> {
        let contents = self.known.as_ref()?.get(part.layer as usize)?.as_ref()?;
        (part.section != NO_SECTION).then(|| Section::checked(contents, part.section))
    }
}

impl LowerDirs {
    /// The roots of the `count` topmost layers.
    fn roots(count: usize, known: Option<Known>) -> LowerDirs {
        let section = |layer: usize| {
            let contents = known.as_ref()?.get(layer)?.as_ref()?;
            Some(contents.root()?.number())
        };
        let part = |layer| PartDir { layer: layer as u32, section: section(layer).unwrap_or(NO_SECTION) };
        let parts: SmallVec<_> = (0..count).map(part).collect();
        LowerDirs((count > 0).then(|| Merged::with(parts, Paths::Same(Path::new("/").into()), known)))
    }

    /// What merges in the root: all layers down to the first that is opaque.
    ///
    /// # Errors
    /// As [`LayerDir::is_opaque`].
    pub fn merging_roots(layers: &impl Layers) -> Result<LowerDirs> {
        let all = (0..layers.count()).map(|which| layers.layer(which)).collect::<Result<Vec<_>>>()?;
        let known: Vec<_> = all.iter().map(|layer| layer.contents().cloned()).collect();
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

    /// What merges in a directory of which `files` are the parts. Most layers have it at `path`, from `/` on.
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
