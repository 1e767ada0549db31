//! Reads an upper directory and its lower layers as one merged tree, without a mount.
//!
//! A mount keeps nodes and caches. Here a directory is only its path in each layer, and few directories are open at a
//! time, however deep the tree is. Both use the same functions for lookup, merging and listing.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lru::LruCache;

use crate::sys::xattr::Of;
use crate::sys::{self, Dir, Errno, Kind, Name, NameBuf, Result};

use super::search::lookup_as_stored;
use super::{
    Found, Indexed, LayerDir, LayerEntry, LayerRange, Layers, LowerDir, LowerDirs, LowerFile, LowerLayer, Marks,
    Namespace, OpenLowerDir, Origin, Part, Policy, Resolution, Resolved, Verdict, each_part, lookup,
};

/// How many directories of the upper layer stay open. For lower layers there is this much room plus two for each layer.
const OPEN: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// An upper directory and the lower layers that it changes.
#[derive(Clone, Copy, Debug)]
pub struct Over<'a> {
    /// The upper layer's directory.
    pub upper: &'a Dir,
    /// Topmost first.
    pub lower: &'a [Dir],
    /// The hardlink index: `index` in the work directory.
    pub index: Option<&'a Dir>,
}

impl<'a> Over<'a> {
    /// A tree without lower layers.
    pub fn nothing(upper: &'a Dir) -> Over<'a> {
        Over { upper, lower: &[], index: None }
    }
}

/// The opened layers, and the directories of them that are kept open.
#[derive(Debug)]
pub struct Merge {
    upper: LayerDir,
    lower: Vec<LowerLayer>,
    uuids: Vec<[u8; 16]>,
    index: Option<Arc<LayerDir>>,
    /// Paths under which the union shows a file of the hardlink index although only lower layers have the name.
    hidden: BTreeSet<PathBuf>,
    namespace: Namespace,
    open_upper: RefCell<LruCache<Arc<Path>, Arc<LayerDir>>>,
    open_lower: RefCell<LruCache<u64, Arc<OpenLowerDir>>>,
}

/// One directory of the merged tree, as its path in each layer. It is not open.
#[derive(Clone, Debug, Default)]
pub struct MergedDir {
    /// The path relative to the upper layer; `None` if the upper layer does not have the directory.
    upper: Option<Arc<Path>>,
    lower: LowerDirs,
    /// Whether files of the hardlink index replace lower files.
    indexed: bool,
}

impl Layers for Merge {
    fn count(&self) -> usize {
        self.lower.len()
    }

    fn data_only(&self) -> usize {
        0
    }

    fn layer(&self, which: usize) -> Result<&LowerLayer> {
        self.lower.get(which).ok_or(Errno::IO)
    }

    fn open(&self, dir: &LowerDir) -> Result<Arc<OpenLowerDir>> {
        if let Some(open) = self.open_lower.borrow_mut().get(&dir.serial()) {
            return Ok(open.clone());
        }
        let opened = Arc::new(dir.open(self)?);
        self.open_lower.borrow_mut().put(dir.serial(), opened.clone());
        Ok(opened)
    }

    fn namespace(&self) -> Namespace {
        self.namespace
    }

    fn follows_redirects(&self) -> bool {
        true
    }

    fn copy_of(&self, file: &LowerFile, found: &Found) -> Result<Option<(Part, Found)>> {
        let Some(index) = &self.index else { return Ok(None) };
        if found.is_dir() {
            return Ok(None);
        }
        let (Some(handle), Some(uuid)) = (file.reach(self)?.handle(), self.uuids.get(file.dir.layer())) else {
            return Ok(None);
        };
        let name = NameBuf::new(Origin::index_name(0, *uuid, Some(&handle)))?;
        match index.lookup(name.as_name())? {
            Verdict::Entry(copy) => Ok(Some((Part::Index(Arc::new(Indexed::by_name(name, copy.stat.ino))), copy))),
            Verdict::Nothing | Verdict::Whiteout => Ok(None),
        }
    }
}

impl Merge {
    /// Opens the layers. If the hardlink index may hold names that only lower layers have, walks the whole tree to find
    /// them.
    ///
    /// # Errors
    /// As `openat2(2)`, `getxattr(2)` and `getdents64(2)`.
    pub fn open(over: Over<'_>, policy: Policy) -> Result<Merge> {
        let index = match over.index {
            Some(dir) => Some(Arc::new(LayerDir::of_kernel(dir.open_dir(".")?, policy.marks))),
            None => None,
        };
        let room = OPEN.saturating_add(2 * over.lower.len());
        let mut merge = Merge {
            upper: LayerDir::new(over.upper.open_dir(".")?, policy.marks)?,
            lower: over
                .lower
                .iter()
                .map(|dir| LowerLayer::new(dir.open_dir(".")?, None, policy))
                .collect::<Result<_>>()?,
            uuids: over.lower.iter().map(sys::filesystem_uuid).collect::<Result<_>>()?,
            index,
            hidden: BTreeSet::new(),
            namespace: policy.marks,
            open_upper: RefCell::new(LruCache::new(OPEN)),
            open_lower: RefCell::new(LruCache::new(room)),
        };
        if merge.may_hide_names()? {
            merge.hidden = merge.find_hidden()?;
        }
        Ok(merge)
    }

    /// Whether some file of the index may have names that the upper layer does not have.
    fn may_hide_names(&self) -> Result<bool> {
        let Some(index) = &self.index else { return Ok(false) };
        for entry in index.entries_quietly()? {
            let marks = Marks::read(Of::Name(index, entry.name.as_name()), self.namespace)?;
            // The link in the index is counted too, so -1 means that the upper layer has every name.
            if entry.kind != Kind::Directory && marks.hidden_links().is_none_or(|hidden| hidden >= 0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn find_hidden(&self) -> Result<BTreeSet<PathBuf>> {
        let mut hidden = BTreeSet::new();
        let mut todo = vec![(PathBuf::new(), self.root()?)];
        while let Some((path, dir)) = todo.pop() {
            for name in self.names(&dir)? {
                let name = name.as_name();
                let found = match self.lookup(&dir, name) {
                    // A later lookup of this name returns the same error.
                    Err(Errno::IO | Errno::PERM) => continue,
                    other => other?.is,
                };
                match &found {
                    Resolution::Dir(parts) => {
                        todo.push((path.join(name.as_os_str()), self.child(&dir, name, parts)));
                    }
                    Resolution::Leaf(Part::Index(_), _) => {
                        hidden.insert(path.join(name.as_os_str()));
                    }
                    Resolution::Leaf(..) | Resolution::Missing => {}
                }
            }
        }
        Ok(hidden)
    }

    /// The names in the directory at `path` under which only lower layers have a file of the index, at any depth.
    pub fn hidden_names(&self, path: &Path) -> BTreeSet<NameBuf> {
        let below = self.hidden.range(path.to_owned()..).take_while(|hidden| hidden.starts_with(path));
        let first = |hidden: &PathBuf| hidden.strip_prefix(path).ok()?.iter().next().map(NameBuf::new);
        below.filter_map(first).filter_map(Result::ok).collect()
    }

    /// The root of the lower layers alone.
    ///
    /// # Errors
    /// As `getxattr(2)`.
    pub fn lower_root(&self) -> Result<MergedDir> {
        Ok(MergedDir { lower: LowerDirs::merging_roots(self)?, ..MergedDir::default() })
    }

    /// The root of the union.
    ///
    /// # Errors
    /// As `getxattr(2)`.
    pub fn root(&self) -> Result<MergedDir> {
        let lower = if self.upper.is_opaque()? { LowerDirs::default() } else { LowerDirs::merging_roots(self)? };
        Ok(MergedDir { upper: Some(Path::new("").into()), lower, indexed: true })
    }

    /// The directory in the upper layer, opened; `None` if the upper layer does not have it.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn upper(&self, dir: &MergedDir) -> Result<Option<Arc<LayerDir>>> {
        let Some(path) = &dir.upper else { return Ok(None) };
        if let Some(open) = self.open_upper.borrow_mut().get(path) {
            return Ok(Some(open.clone()));
        }
        let beside = path.parent().and_then(|parent| self.open_upper.borrow_mut().get(parent).cloned());
        let opened = match (beside, path.file_name()) {
            (Some(parent), Some(name)) => parent.open_dir(name)?,
            (_, Some(_)) => self.upper.open_dir(path)?,
            (_, None) => self.upper.open_dir(".")?,
        };
        let opened = Arc::new(opened);
        self.open_upper.borrow_mut().put(path.clone(), opened.clone());
        Ok(Some(opened))
    }

    /// What the merged tree has under `name` in `dir`.
    ///
    /// # Errors
    /// As [`lookup`](super::lookup()).
    pub fn lookup(&self, dir: &MergedDir, name: Name<'_>) -> Result<Resolved> {
        let upper = self.upper(dir)?;
        match dir.indexed {
            true => lookup(self, upper.as_deref(), &dir.lower, name),
            false => lookup_as_stored(self, upper.as_deref(), (&dir.lower, LayerRange::ALL), name),
        }
    }

    /// Every name in `dir` that some layer has or hides.
    ///
    /// # Errors
    /// As `getdents64(2)`.
    pub fn names(&self, dir: &MergedDir) -> Result<BTreeSet<NameBuf>> {
        let mut names = BTreeSet::new();
        let upper = self.upper(dir)?;
        let listed = upper.as_deref().map(|upper| Ok((upper, upper.list_quietly()?))).transpose()?;
        each_part(self, listed, &dir.lower, |part| {
            names.extend(part.entries.iter().map(|entry| entry.name.clone()));
            names.extend(part.gone.iter().cloned());
            Ok(())
        })?;
        Ok(names)
    }

    /// Every name in `dir` that the upper layer has or hides.
    ///
    /// # Errors
    /// As `getdents64(2)`.
    pub fn upper_names(&self, dir: &MergedDir) -> Result<BTreeSet<NameBuf>> {
        Ok(self
            .upper(dir)?
            .map(|upper| upper.list_quietly())
            .transpose()?
            .map(|listed| listed.names())
            .unwrap_or_default())
    }

    /// The directory `name` in `dir`; `parts` is the result of its lookup.
    pub fn child(&self, dir: &MergedDir, name: Name<'_>, parts: &[(Part, Found)]) -> MergedDir {
        let upper = match (parts.first(), &dir.upper) {
            (Some((Part::Upper, _)), Some(path)) => Some(path.join(name.as_os_str()).into()),
            _ => None,
        };
        let lower: Vec<_> = parts.iter().filter_map(|(part, _)| part.lower()).collect();
        let lower = match lower.first() {
            Some(first) => LowerDirs::of(lower.iter().copied(), &Path::new("/").join(first.path()).into()),
            None => LowerDirs::default(),
        };
        MergedDir { upper, lower, indexed: dir.indexed }
    }

    /// One part of `name` in `dir`, for reading.
    ///
    /// # Errors
    /// As `openat2(2)`; `EIO` if the part belongs to another directory.
    pub fn part(&self, dir: &MergedDir, (part, name): (&Part, Name<'_>)) -> Result<LayerEntry> {
        match part {
            Part::Upper => Ok(LayerEntry::of_upper(self.upper(dir)?.ok_or(Errno::IO)?, Some(name.to_owned()))),
            Part::Lower(file) => file.reach(self),
            Part::Index(indexed) => {
                let index = self.index.clone().ok_or(Errno::IO)?;
                Ok(LayerEntry::of_upper(index, Some(indexed.name.clone())))
            }
        }
    }
}

impl MergedDir {
    /// Whether both have the same directories of lower layers.
    pub fn has_lower_of(&self, other: &MergedDir) -> bool {
        let places = |merged: &MergedDir| -> Vec<_> {
            merged.lower.iter().map(|dir| (dir.layer(), dir.path().to_path_buf())).collect()
        };
        places(self) == places(other)
    }
}
