//! An upper directory over its lower layers, as a union shows them, for who only reads.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use lru::LruCache;

use crate::layer::{Found, LayerDir, Layers, Look, LowerDir, Namespace, Part, Policy, look};
use crate::sys::{Dir, Errno, Name, NameBuf, Result};

/// How many directories of the layers stay open.
const OPEN: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// The lower layers, topmost first.
#[derive(Debug)]
pub(super) struct Lower {
    roots: Vec<LayerDir>,
    namespace: Namespace,
    open: RefCell<LruCache<u64, Arc<LayerDir>>>,
}

/// One directory of the union.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) upper: Option<Arc<LayerDir>>,
    pub(super) lower: Vec<Arc<LowerDir>>,
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
        if let Some(open) = self.open.borrow_mut().get(&dir.serial) {
            return Ok(open.clone());
        }
        let opened = Arc::new(self.root(dir.layer)?.open_dir(&dir.path)?);
        self.open.borrow_mut().put(dir.serial, opened.clone());
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
    pub(super) fn new(layers: &[Dir], policy: Policy) -> Result<Lower> {
        let root = |dir: &Dir| LayerDir::new(dir.open_dir(".")?, policy.marks);
        let roots = layers.iter().map(root).collect::<Result<_>>()?;
        Ok(Lower { roots, namespace: policy.marks, open: RefCell::new(LruCache::new(OPEN)) })
    }

    /// The root of the lower layers alone.
    pub(super) fn root_dir(&self) -> Result<Merged> {
        let mut merged = Merged::default();
        for (layer, root) in self.roots.iter().enumerate() {
            merged.lower.push(Arc::new(LowerDir::new(layer, Path::new("."))));
            if root.is_opaque()? {
                break;
            }
        }
        Ok(merged)
    }

    /// The root of the union.
    pub(super) fn root_under(&self, upper: &Dir) -> Result<Merged> {
        let upper = LayerDir::new(upper.open_dir(".")?, self.namespace)?;
        let lower = if upper.is_opaque()? { Vec::new() } else { self.root_dir()?.lower };
        Ok(Merged { upper: Some(Arc::new(upper)), lower })
    }

    /// What the union has under `name` in `dir`.
    pub(super) fn look(&self, dir: &Merged, name: Name<'_>) -> Result<Look> {
        look(self, dir.upper.as_deref(), &dir.lower, name)
    }

    /// Every name that some layer of `dir` speaks of.
    pub(super) fn names(&self, dir: &Merged) -> Result<BTreeSet<NameBuf>> {
        let mut names = dir.upper_names()?;
        for lower in &dir.lower {
            names.append(&mut self.open(lower)?.list_quietly()?.names());
        }
        Ok(names)
    }

    /// The directory `name` of `dir`, which was found to have these parts.
    pub(super) fn child(&self, dir: &Merged, name: Name<'_>, parts: &[(Part, Found)]) -> Result<Merged> {
        let mut child = Merged::default();
        for (part, _) in parts {
            match (part, &dir.upper) {
                (Part::Upper, Some(upper)) => child.upper = Some(Arc::new(upper.open_dir(name.as_os_str())?)),
                (Part::Lower(file), _) => child.lower.push(Arc::new(file.dir.child(file.name.as_os_str()))),
                _ => return Err(Errno::IO),
            }
        }
        Ok(child)
    }

    /// Where one part of `name` in `dir` is.
    pub(super) fn part(&self, dir: &Merged, (part, name): (&Part, Name<'_>)) -> Result<(Arc<LayerDir>, NameBuf)> {
        match (part, &dir.upper) {
            (Part::Upper, Some(upper)) => Ok((upper.clone(), name.to_owned())),
            (Part::Lower(file), _) => Ok((self.open(&file.dir)?, file.name.clone())),
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
        let places =
            |merged: &Merged| -> Vec<_> { merged.lower.iter().map(|dir| (dir.layer, dir.path.clone())).collect() };
        places(self) == places(other)
    }
}
