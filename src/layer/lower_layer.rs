//! An open lower layer.

use std::sync::Arc;

use crate::sys::{self, Dir, Result, Stat};

use super::{LayerDir, LinkedNames, Policy, Toc};

/// An open lower layer, which is never changed. Only `layer` itself reaches the directory behind it.
#[derive(Debug)]
pub struct LowerLayer {
    root: LayerDir,
    /// The table of contents, which answers instead of the layer's directories.
    toc: Option<Arc<Toc>>,
}

impl LowerLayer {
    /// The layer in `root`, with its table of contents if there is one.
    ///
    /// # Errors
    /// As `getxattr(2)`.
    pub(super) fn new(root: Dir, toc: Option<Arc<Toc>>, policy: Policy) -> Result<LowerLayer> {
        let root = match toc {
            None => LayerDir::new(root, policy.marks)?,
            Some(_) => LayerDir::of_stored(root, policy.marks),
        };
        Ok(LowerLayer { root: root.constant(), toc })
    }

    pub(super) fn root(&self) -> &LayerDir {
        &self.root
    }

    pub(super) fn toc(&self) -> Option<&Arc<Toc>> {
        self.toc.as_ref()
    }

    /// The attributes of the layer's root directory.
    ///
    /// # Errors
    /// As `fstat(2)`.
    pub fn stat(&self) -> Result<Stat> {
        self.root.stat_self()
    }

    /// The device number of the layer's file system.
    ///
    /// # Errors
    /// As `fstat(2)`.
    pub fn dev(&self) -> Result<u64> {
        self.toc().map_or_else(|| self.stat().map(|stat| stat.dev), |known| Ok(known.dev()))
    }

    /// The UUID of the layer's file system.
    ///
    /// # Errors
    /// As `ioctl(2)` and `statfs(2)`.
    pub fn filesystem_uuid(&self) -> Result<[u8; 16]> {
        sys::filesystem_uuid(&self.root)
    }

    /// All names of each file with several hard links.
    ///
    /// # Errors
    /// As `getdents64(2)` and `fstatat(2)`; none if the table of contents has them.
    pub fn linked_names(&self) -> Result<LinkedNames> {
        LinkedNames::of_layer(&self.root, self.toc.as_ref())
    }
}
