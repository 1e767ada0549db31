//! Extended attributes of nodes. Marks of union file systems are neither shown nor settable.

use std::ffi::{OsStr, OsString};

use crate::layer::marks;
use crate::sys::xattr::{self, Set};
use crate::sys::{Errno, Result};

use super::Union;
use super::node::NodeId;

/// Whether an attribute that is set must, must not, or may exist.
pub type Wanted = Set;

impl Union {
    /// # Errors
    /// As `getxattr(2)`; `ENODATA` for a mark.
    pub fn xattr(&self, id: NodeId, key: &OsStr) -> Result<Vec<u8>> {
        if marks::is_mark(key) {
            return Err(Errno::NODATA);
        }
        let node = self.node(id)?;
        self.at(&node, |at| xattr::get_strict(at.of(), key))
    }

    /// # Errors
    /// As `listxattr(2)`.
    pub fn xattrs(&self, id: NodeId) -> Result<Vec<OsString>> {
        let node = self.node(id)?;
        self.at(&node, |at| marks::visible_xattrs(at.of()))
    }

    /// # Errors
    /// As `setxattr(2)`; `EPERM` for a mark.
    pub fn set_xattr(&self, id: NodeId, key: &OsStr, value: &[u8], wanted: Wanted) -> Result<()> {
        if marks::is_mark(key) {
            return Err(Errno::PERM);
        }
        let node = self.node(id)?;
        self.upper()?;
        node.protection().permits_change()?;
        self.upper_file(&node)?.set_xattr(key, value, wanted)?;
        node.forget_inherited();
        Ok(())
    }

    /// # Errors
    /// As `removexattr(2)`; `ENODATA` for a mark.
    pub fn remove_xattr(&self, id: NodeId, key: &OsStr) -> Result<()> {
        if marks::is_mark(key) {
            return Err(Errno::NODATA);
        }
        let node = self.node(id)?;
        // A removal that will fail copies nothing up.
        self.upper()?;
        node.protection().permits_change()?;
        self.at(&node, |at| xattr::get_strict(at.of(), key))?;
        self.upper_file(&node)?.remove_xattr(key)?;
        node.forget_inherited();
        Ok(())
    }
}
