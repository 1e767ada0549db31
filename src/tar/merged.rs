//! An upper directory over its lower layers, as a union shows them, for who only reads.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lru::LruCache;

use crate::layer::{
    Found, LayerDir, Layers, Look, LowerDir, LowerDirs, LowerFile, Marks, Namespace, Origin, Part, Policy, Resolution,
    Seen, look,
};
use crate::sys::xattr::Of;
use crate::sys::{self, Dir, Errno, Kind, Name, NameBuf, Result};

/// How many directories of the layers stay open.
const OPEN: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// What an upper directory is over.
#[derive(Clone, Copy, Debug)]
pub struct Over<'a> {
    pub upper: &'a Dir,
    /// Topmost first.
    pub lower: &'a [Dir],
    /// What the upper layer has for all names of lower files with several: `index` in the work directory.
    pub index: Option<&'a Dir>,
}

impl<'a> Over<'a> {
    /// A tree that is over nothing.
    pub fn nothing(upper: &'a Dir) -> Over<'a> {
        Over { upper, lower: &[], index: None }
    }
}

/// The lower layers, topmost first.
#[derive(Debug)]
pub(super) struct Lower {
    roots: Vec<LayerDir>,
    uuids: Vec<[u8; 16]>,
    index: Option<Arc<LayerDir>>,
    /// Where the union shows a file of the index under a name that only lower layers have.
    hidden: BTreeSet<PathBuf>,
    namespace: Namespace,
    open: RefCell<LruCache<u64, Arc<LayerDir>>>,
}

/// One directory of the union.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) upper: Option<Arc<LayerDir>>,
    pub(super) lower: LowerDirs,
    /// Whether files of the index stand in for lower ones.
    indexed: bool,
}

impl Layers for Lower {
    fn count(&self) -> usize {
        self.roots.len()
    }

    fn data_only(&self) -> usize {
        0
    }

    fn root(&self, layer: usize) -> Result<&LayerDir> {
        self.roots.get(layer).ok_or(Errno::IO)
    }

    fn open(&self, dir: &LowerDir) -> Result<Arc<LayerDir>> {
        if let Some(open) = self.open.borrow_mut().get(&dir.serial()) {
            return Ok(open.clone());
        }
        let opened = Arc::new(self.root(dir.layer())?.open_dir(dir.path())?);
        self.open.borrow_mut().put(dir.serial(), opened.clone());
        Ok(opened)
    }

    fn namespace(&self) -> Namespace {
        self.namespace
    }

    fn follows_redirects(&self) -> bool {
        true
    }
}

impl Lower {
    pub(super) fn new(over: Over<'_>, policy: Policy) -> Result<Lower> {
        let root = |dir: &Dir| LayerDir::new(dir.open_dir(".")?, policy.marks);
        let index = match over.index {
            Some(dir) => Some(Arc::new(LayerDir::of_kernel(dir.open_dir(".")?, policy.marks))),
            None => None,
        };
        let mut lower = Lower {
            roots: over.lower.iter().map(root).collect::<Result<_>>()?,
            uuids: over.lower.iter().map(sys::filesystem_uuid).collect::<Result<_>>()?,
            index,
            hidden: BTreeSet::new(),
            namespace: policy.marks,
            open: RefCell::new(LruCache::new(OPEN)),
        };
        if lower.may_hide_names()? {
            let mut hidden = BTreeSet::new();
            lower.find_hidden(&lower.root_under(over.upper)?, Path::new(""), &mut hidden)?;
            lower.hidden = hidden;
        }
        Ok(lower)
    }

    /// Whether some file of the index has names that the upper layer has not.
    fn may_hide_names(&self) -> Result<bool> {
        let Some(index) = &self.index else { return Ok(false) };
        for entry in index.entries_quietly()? {
            let marks = Marks::read(Of::Name(index, entry.name.as_name()), self.namespace)?;
            // One of the links is that in the index.
            if entry.kind != Kind::Directory && marks.hidden_links().is_none_or(|hidden| hidden >= 0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn find_hidden(&self, dir: &Merged, path: &Path, hidden: &mut BTreeSet<PathBuf>) -> Result<()> {
        for name in self.names(dir)? {
            let path = path.join(name.as_os_str());
            let found = match self.look(dir, name.as_name()) {
                // It is told where it matters.
                Err(Errno::IO | Errno::PERM) => continue,
                other => other?.is,
            };
            match &found {
                Resolution::Dir(parts) => self.find_hidden(&self.child(dir, name.as_name(), parts)?, &path, hidden)?,
                Resolution::Leaf(Part::Lower(file), _) if self.copy_of(dir, file)?.is_some() => {
                    hidden.insert(path);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The file of the index that stands in for a lower one.
    fn copy_of(&self, dir: &Merged, file: &LowerFile) -> Result<Option<(Arc<LayerDir>, NameBuf)>> {
        let (Some(index), true) = (&self.index, dir.indexed) else { return Ok(None) };
        let (parent, name) = (self.open(&file.dir)?, file.name.as_name());
        let stat = parent.stat(name)?;
        if stat.kind == Kind::Directory || stat.nlink < 2 {
            return Ok(None);
        }
        let (Ok(handle), Some(uuid)) = (sys::file_handle(&*parent, name), self.uuids.get(file.dir.layer())) else {
            return Ok(None);
        };
        let name = NameBuf::new(Origin::index_name(0, *uuid, Some(&handle)))?;
        match index.stat(name.as_name()) {
            Ok(_) => Ok(Some((index.clone(), name))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The names in the directory at `path` that lead to a file of the index, or are one.
    pub(super) fn hidden_names(&self, path: &Path) -> BTreeSet<NameBuf> {
        let below = self.hidden.range(path.to_owned()..).take_while(|hidden| hidden.starts_with(path));
        let first = |hidden: &PathBuf| hidden.strip_prefix(path).ok()?.iter().next().map(NameBuf::new);
        below.filter_map(first).filter_map(Result::ok).collect()
    }

    /// The root of the lower layers alone.
    pub(super) fn root_dir(&self) -> Result<Merged> {
        let mut count = 0;
        for root in &self.roots {
            count += 1;
            if root.is_opaque()? {
                break;
            }
        }
        Ok(Merged { lower: LowerDirs::roots(count, None), ..Merged::default() })
    }

    /// The root of the union.
    pub(super) fn root_under(&self, upper: &Dir) -> Result<Merged> {
        let upper = LayerDir::new(upper.open_dir(".")?, self.namespace)?;
        let lower = if upper.is_opaque()? { LowerDirs::default() } else { self.root_dir()?.lower };
        Ok(Merged { upper: Some(Arc::new(upper)), lower, indexed: true })
    }

    /// What the union has under `name` in `dir`.
    pub(super) fn look(&self, dir: &Merged, name: Name<'_>) -> Result<Look> {
        let look = look(self, dir.upper.as_deref(), &dir.lower, name)?;
        let Resolution::Leaf(Part::Lower(file), found) = &look.is else { return Ok(look) };
        let Some((index, copy)) = self.copy_of(dir, file)? else { return Ok(look) };
        let Seen::Entry(copy) = index.see(copy.as_name())? else { return Ok(look) };
        let data = copy.metacopy.then(|| look.data.unwrap_or_else(|| (file.clone(), found.stat)));
        Ok(Look { is: Resolution::Leaf(Part::Lower(file.clone()), copy), data })
    }

    /// Every name that some layer of `dir` speaks of.
    pub(super) fn names(&self, dir: &Merged) -> Result<BTreeSet<NameBuf>> {
        let mut names = dir.upper_names()?;
        for lower in dir.lower.iter() {
            names.append(&mut self.open(&lower)?.list_quietly()?.names());
        }
        Ok(names)
    }

    /// The directory `name` of `dir`, which was found to have these parts.
    pub(super) fn child(&self, dir: &Merged, name: Name<'_>, parts: &[(Part, Found)]) -> Result<Merged> {
        let mut child = Merged { indexed: dir.indexed, ..Merged::default() };
        let mut lower = Vec::new();
        for (part, _) in parts {
            match (part, &dir.upper) {
                (Part::Upper, Some(upper)) => child.upper = Some(Arc::new(upper.open_dir(name.as_os_str())?)),
                (Part::Lower(file), _) => lower.push(file),
                _ => return Err(Errno::IO),
            }
        }
        if let Some(first) = lower.first() {
            let path = Path::new("/").join(first.path()).into();
            child.lower = LowerDirs::of(lower, &path);
        }
        Ok(child)
    }

    /// Where one part of `name` in `dir` is.
    pub(super) fn part(&self, dir: &Merged, (part, name): (&Part, Name<'_>)) -> Result<(Arc<LayerDir>, NameBuf)> {
        match (part, &dir.upper) {
            (Part::Upper, Some(upper)) => Ok((upper.clone(), name.to_owned())),
            (Part::Lower(file), _) => match self.copy_of(dir, file)? {
                Some(copy) => Ok(copy),
                None => Ok((self.open(&file.dir)?, file.name.clone())),
            },
            _ => Err(Errno::IO),
        }
    }
}

impl Merged {
    /// Every name that the upper layer speaks of.
    pub(super) fn upper_names(&self) -> Result<BTreeSet<NameBuf>> {
        match &self.upper {
            Some(upper) => Ok(upper.list_quietly()?.names()),
            None => Ok(BTreeSet::new()),
        }
    }

    /// Whether the same directories of lower layers are in both.
    pub(super) fn has_lower_of(&self, other: &Merged) -> bool {
        let places = |merged: &Merged| -> Vec<_> {
            merged.lower.iter().map(|dir| (dir.layer(), dir.path().to_path_buf())).collect()
        };
        places(self) == places(other)
    }
}
