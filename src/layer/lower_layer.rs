//! A layer that is only read, open.

use std::sync::Arc;

use crate::sys::{self, Dir, Result, Stat};

use super::{Contents, LayerDir, LinkedNames, Policy};

/// See the module. Only this module's neighbours reach the directory that it is now.
#[derive(Debug)]
pub struct LowerLayer {
    root: LayerDir,
    /// Where the layer need not be asked.
    contents: Option<Arc<Contents>>,
}

impl LowerLayer {
    /// The layer in `root`, with its table of contents if there is one.
    ///
    /// # Errors
    /// As `getxattr(2)`.
    pub(super) fn new(root: Dir, contents: Option<Arc<Contents>>, policy: Policy) -> Result<LowerLayer> {
        let root = match contents {
            None => LayerDir::new(root, policy.marks)?,
            Some(_) => LayerDir::of_stored(root, policy.marks),
        };
        Ok(LowerLayer { root: root.constant(), contents })
    }

    pub(super) fn root(&self) -> &LayerDir {
        &self.root
    }

    pub(super) fn contents(&self) -> Option<&Arc<Contents>> {
        self.contents.as_ref()
    }

    /// # Errors
    /// As `fstat(2)`.
    pub fn stat(&self) -> Result<Stat> {
        self.root.stat_self()
    }

    /// The file system of the layer.
    ///
    /// # Errors
    /// As `fstat(2)`.
    pub fn dev(&self) -> Result<u64> {
        self.contents().map_or_else(|| self.stat().map(|stat| stat.dev), |known| Ok(known.dev()))
    }

    /// The identity on disk of that.
    ///
    /// # Errors
    /// As `ioctl(2)` and `statfs(2)`.
    pub fn filesystem_uuid(&self) -> Result<[u8; 16]> {
        sys::filesystem_uuid(&self.root)
    }

    /// All names of its files that have several.
    ///
    /// # Errors
    /// As `getdents64(2)` and `fstatat(2)`; none where a table of contents tells them.
    pub fn linked_names(&self) -> Result<LinkedNames> {
        LinkedNames::of_layer(&self.root, self.contents.as_ref())
    }
}
