//! Attributes: those that `stat` shows and that `chmod`, `chown`, `truncate` and `utimensat` change.

use crate::sys::{Errno, Kind, Result, SetTime, Stat, Timestamp};

use super::content_location::At;
use super::copy_up::{Need, UpperFile};
use super::node::{Node, NodeId};
use super::{Owner, Union};

/// A node and the attributes that users see. Exception: `stat` has the inode number of the host; users see `id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// The node.
    pub id: NodeId,
    /// Its attributes, as users see them.
    pub stat: Stat,
}

/// The attributes to change; `None` and `Keep` leave one as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Permission bits, with set-id and sticky bits.
    pub perm: Option<u32>,
    /// The user.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
    /// In bytes.
    pub size: Option<u64>,
    /// Last access.
    pub atime: SetTime,
    /// Last change of content.
    pub mtime: SetTime,
}

impl Default for Change {
    fn default() -> Change {
        Change { perm: None, uid: None, gid: None, size: None, atime: SetTime::Keep, mtime: SetTime::Keep }
    }
}

impl Union {
    /// The attributes of a node.
    ///
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

    /// The owner of a node, even if the union shows another one for all files.
    ///
    /// # Errors
    /// As `stat(2)`.
    pub fn true_owner(&self, id: NodeId) -> Result<Owner> {
        let node = self.node(id)?;
        let stat = match self.record(&node) {
            Some(record) => record.shown,
            None => self.at(&node, |at| at.shown(self.stack.owners, at.stat()?))?,
        };
        Ok(Owner { uid: stat.uid, gid: stat.gid })
    }

    pub(super) fn attr_of(&self, node: &Node) -> Result<Attr> {
        let mut stat = match self.record(node) {
            Some(record) => self.squashed(record.shown),
            None => self.at(node, |at| self.shown(at, at.stat()?))?,
        };
        node.state.read().adjust(&mut stat);
        Ok(Attr { id: node.id, stat })
    }

    /// Copies the node up if it is not in the upper layer yet, and changes its attributes. The size comes first: a change
    /// of the size takes set-id bits from an unprivileged program's file.
    ///
    /// # Errors
    /// As `chmod(2)`, `chown(2)`, `truncate(2)` and `utimensat(2)`; `EROFS` without an upper layer. Nothing has changed
    /// then. Exception: a new size stays when another attribute of the same call fails, since the content behind the new
    /// end cannot be restored.
    pub fn change(&self, id: NodeId, change: Change) -> Result<Attr> {
        let node = self.node(id)?;
        self.upper()?;
        // Setting the times to now is allowed on append-only files.
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
            let emptied = size == 0 && node.kind == Kind::Regular && self.copy_up_as(&node, Need::Nothing, None)?;
            let need = if size == 0 { Need::Nothing } else { Need::Data };
            match self.upper_data(&node, need).and_then(|data| data.set_len(size)) {
                // It arrived empty; this call only takes set-id bits, as it does for any other file.
                Err(error) if emptied => {
                    tracing::warn!(id = node.id.0, %error, "a file was emptied and keeps its mode")
                }
                other => other?,
            }
        }
        // A change of nothing is `chown(-1, -1)`: like any chown it removes set-id bits and capabilities.
        let changes_owner = change.changes_owner() || change == Change::default();
        if change.perm.is_some() || changes_owner || change.sets_times() {
            let mut perm = change.perm.map(|perm| perm & 0o7777);
            // The owner is changed before the mode, since chown clears mode bits.
            if !changes_owner && self.copy_up_as(&node, Need::Metadata, perm)? {
                perm = None;
            }
            let set = |file: &UpperFile<'_>| {
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
            };
            let is_one = [changes_owner, perm.is_some(), change.sets_times()].into_iter().filter(|is| *is).count() <= 1;
            self.change_upper(&node, |file| if is_one { set(file) } else { file.set_several(set) })?;
            node.forget_inherited();
            node.attributes_changed();
        }
        self.attr_of(&node)
    }
}

impl Change {
    /// Whether the user or the group changes.
    pub fn changes_owner(&self) -> bool {
        self.uid.is_some() || self.gid.is_some()
    }

    fn sets_times(&self) -> bool {
        self.atime != SetTime::Keep || self.mtime != SetTime::Keep
    }
}

impl Node {
    /// Drops the cached [`Inherit`](super::node::Inherit) after a change of a directory's mode, group or ACL.
    pub(super) fn forget_inherited(&self) {
        if let Some(dir) = self.state.write().dir_mut() {
            dir.inherit = None;
        }
    }
}
