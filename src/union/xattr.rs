//! Extended attributes of nodes. The marks of a layer are neither shown nor settable. Attributes of programs whose
//! names look like marks are stored under another name.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::sys::xattr::Set;
use crate::sys::{Errno, Result};

use super::Union;
use super::content_location::At;
use super::node::{Lack, NodeId};

/// Whether an attribute must, must not, or may exist before it is set.
pub type Wanted = Set;

/// File capabilities. The kernel reads this attribute before each write, since a write removes it.
pub(super) const CAPABILITY: &str = "security.capability";

impl Union {
    /// The value of an extended attribute.
    ///
    /// # Errors
    /// As `getxattr(2)`; `ENODATA` for a mark.
    pub fn xattr(&self, id: NodeId, key: &OsStr) -> Result<Vec<u8>> {
        let key = self.key_of_existing(key)?;
        let node = self.node(id)?;
        if self.record(&node).is_some_and(|record| record.lacks(&key)) {
            return Err(Errno::NODATA);
        }
        let mut found = Err(Errno::NODATA);
        let mut find = || {
            found = self.at(&node, |at| at.xattr_strict(&key));
            Ok(matches!(found, Err(Errno::NODATA)))
        };
        match *key == *CAPABILITY {
            true => node.lacks(Lack::Capability, find)?,
            false => find()?,
        };
        found
    }

    /// The names of all extended attributes, without marks.
    ///
    /// # Errors
    /// As `listxattr(2)`.
    pub fn xattrs(&self, id: NodeId) -> Result<Vec<OsString>> {
        let node = self.node(id)?;
        let policy = self.stack.policy();
        if self.record(&node).is_some_and(|record| !record.has_xattrs) {
            return Ok(Vec::new());
        }
        let keys = self.at(&node, At::xattrs)?;
        Ok(keys.iter().filter_map(|key| policy.shown(key).map(Cow::into_owned)).collect())
    }

    /// Copies the node up if needed, and sets an extended attribute.
    ///
    /// # Errors
    /// As `setxattr(2)`; `EPERM` for a mark.
    pub fn set_xattr(&self, id: NodeId, key: &OsStr, value: &[u8], wanted: Wanted) -> Result<()> {
        let policy = self.stack.policy();
        let key = policy.on_disk(key)?;
        let node = self.node(id)?;
        self.upper()?;
        node.protection().permits_change()?;
        self.change_upper(&node, |file| file.set_xattr(&key, value, wanted))?;
        node.attributes_changed();
        node.forget_inherited();
        Ok(())
    }

    /// Copies the node up if needed, and removes an extended attribute.
    ///
    /// # Errors
    /// As `removexattr(2)`; `ENODATA` for a mark.
    pub fn remove_xattr(&self, id: NodeId, key: &OsStr) -> Result<()> {
        let key = self.key_of_existing(key)?;
        let node = self.node(id)?;
        // A removal that will fail must not copy the node up.
        self.upper()?;
        node.protection().permits_change()?;
        match self.at(&node, |at| at.xattr_strict(&key)) {
            // Linux stores no ACL that is equivalent to the mode, so removing one succeeds.
            Err(Errno::NODATA) if key.as_bytes().starts_with(b"system.posix_acl_") => return Ok(()),
            other => other?,
        };
        self.change_upper(&node, |file| file.remove_xattr(&key))?;
        node.forget_inherited();
        Ok(())
    }

    /// The name on disk of an attribute that is to be read or removed; `ENODATA` for a mark.
    fn key_of_existing<'k>(&self, key: &'k OsStr) -> Result<Cow<'k, OsStr>> {
        self.stack.policy().on_disk(key).map_err(|error| if error == Errno::PERM { Errno::NODATA } else { error })
    }
}
