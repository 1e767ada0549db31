//! Attributes: what `stat` shows and what `chmod`, `chown`, `truncate` and `utimensat` change.

use crate::sys::{Errno, Result, SetTime, Stat, Timestamp};

use super::Union;
use super::content_location::At;
use super::copy_up::Need;
use super::node::{Node, NodeId};

/// A node and what users see of it. The inode number in `stat` is the host's; users see `id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    pub id: NodeId,
    pub stat: Stat,
}

/// What shall change; `None` and `Keep` leave as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub perm: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// In bytes.
    pub size: Option<u64>,
    pub atime: SetTime,
    pub mtime: SetTime,
}

impl Default for Change {
    fn default() -> Change {
        Change { perm: None, uid: None, gid: None, size: None, atime: SetTime::Keep, mtime: SetTime::Keep }
    }
}

impl Union {
    /// # Errors
    /// As `stat(2)`.
    pub fn attr(&self, id: NodeId) -> Result<Attr> {
        let node = self.node(id)?;
        self.attr_of(&node)
    }

    /// When the file that a node's attributes are in was made, where its file system knows: a copy-up makes a new one.
    ///
    /// # Errors
    /// As `statx(2)`.
    pub fn birth_time(&self, id: NodeId) -> Result<Option<Timestamp>> {
        let node = self.node(id)?;
        self.at(&node, At::birth_time)
    }

    pub(super) fn attr_of(&self, node: &Node) -> Result<Attr> {
        let mut stat = match self.record(node) {
            Some(record) => self.squashed(record.shown),
            None => self.at(node, |at| self.shown(at, at.stat()?))?,
        };
        node.state.read().adjust(&mut stat);
        Ok(Attr { id: node.id, stat })
    }

    /// Copies up what is not in the upper layer yet and changes it.
    ///
    /// # Errors
    /// As the calls that it stands for; `EROFS` without an upper layer.
    pub fn change(&self, id: NodeId, change: Change) -> Result<Attr> {
        let node = self.node(id)?;
        self.upper()?;
        // What may only be added to may be touched.
        let touches = Change { atime: SetTime::Keep, mtime: SetTime::Keep, ..change } == Change::default()
            && [change.atime, change.mtime].iter().all(|time| !matches!(time, SetTime::To(_)));
        match node.protection() {
            protection if touches => protection.permits_more()?,
            protection => protection.permits_change()?,
        }
        if let Some(size) = change.size {
            if node.is_dir() {
                return Err(Errno::ISDIR);
            }
            let need = if size == 0 { Need::Nothing } else { Need::Data };
            self.upper_data(&node, need)?.set_len(size)?;
        }
        // A change of nothing is `chown` to nobody: it takes set-id bits and capabilities as any other does.
        let changes_owner = change.changes_owner() || change == Change::default();
        if change.perm.is_some() || changes_owner || change.sets_times() {
            let mut perm = change.perm.map(|perm| perm & 0o7777);
            // A change of owner comes first, since it takes bits of the mode.
            if !changes_owner && self.copy_up_as(&node, Need::Metadata, perm)? {
                perm = None;
            }
            self.change_upper(&node, |file| {
                if changes_owner {
                    file.set_owner(change.uid, change.gid)?;
                }
                if let Some(perm) = perm {
                    file.set_perm(perm)?;
                }
                if change.sets_times() {
                    file.set_times(change.atime, change.mtime)?;
                }
                Ok(())
            })?;
            node.forget_inherited();
            node.attributes_changed();
        }
        self.attr_of(&node)
    }
}

impl Change {
    pub fn changes_owner(&self) -> bool {
        self.uid.is_some() || self.gid.is_some()
    }

    fn sets_times(&self) -> bool {
        self.atime != SetTime::Keep || self.mtime != SetTime::Keep
    }
}

impl Node {
    /// After a change of a directory's mode, group or ACL.
    pub(super) fn forget_inherited(&self) {
        if let Some(dir) = self.state.write().dir_mut() {
            dir.inherit = None;
        }
    }
}
