//! Files without a name (`O_TMPFILE`).

use std::sync::Arc;

use crate::layer::{Owners, Recorded};
use crate::sys::xattr::Of;
use crate::sys::{Errno, File, OFlags, Result, Stat};

use super::create::{Mode, New, Plan};
use super::descriptors::FileKey;
use super::node::{Anchor, Content, Node, NodeId, Places, Real, UpperContent, UpperPart};
use super::{Attr, Owner, Union};

impl Union {
    /// Makes a file without a name on the file system of `dir`, which hands on to it what it hands on to a file in it;
    /// counts one lookup of the new node. [`link`](Self::link) can give it a name; without one, it is gone when it is
    /// forgotten.
    ///
    /// # Errors
    /// As `open(2)` with `O_TMPFILE`: `EOPNOTSUPP` where the file system of the upper layer has no such files.
    pub fn create_unnamed(&self, owner: Owner, dir: NodeId, mode: Mode) -> Result<Attr> {
        let dir = self.dir_node(dir)?;
        self.upper()?;
        dir.protection().permits_more()?;
        let upper = self.upper_dir(&dir)?;
        let inherit = {
            let mut state = dir.state.write();
            let content = state.dir_mut().ok_or(Errno::NOTDIR)?;
            if matches!(content.upper, UpperPart::Removed(_)) {
                return Err(Errno::NOENT);
            }
            self.inherit(content, &upper)?
        };
        let plan = Plan::of(New::File, owner, mode, inherit);
        let owners = self.stack.owners;
        // Not `O_EXCL`: such a file can get no name. Whether this one may, the kernel knows of its own file.
        let file = upper.open_file(".", OFlags::TMPFILE | OFlags::RDWR, plan.perm_at_birth(owners))?;
        let made_as = Owner { uid: self.own.uid, gid: inherit.group.unwrap_or(self.own.gid) };
        if owners == Owners::Recorded || plan.owner != made_as {
            finish(&file, &plan, owners)?;
        }
        let fd = Arc::new(file.to_path_fd()?);
        let stat = file.stat()?;
        let real = Real::of(&stat);
        let node = self.table.intern(self.table.id_of(real), real, |id| {
            let content = UpperContent { at: Anchor::Unlinked(fd.clone()), data: None };
            Node::new(id, stat.kind, real, Places::new(), Content::Upper(content))
        });
        node.note_new();
        self.descriptors.keep_file(FileKey::Upper(node.id), file);
        self.attr_of(&node)
    }
}

/// Gives the file its owner, and the mode bits that a change of owner drops.
fn finish(file: &File, plan: &Plan<'_>, owners: Owners) -> Result<()> {
    let Owner { uid, gid } = plan.owner;
    if owners == Owners::Recorded {
        let stat = Stat { uid, gid, perm: plan.perm, ..file.stat()? };
        return Recorded::of_stat(&stat).write(Of::fd(file));
    }
    file.set_owner(Some(uid), Some(gid))?;
    if plan.perm & 0o7000 != 0 {
        // A default ACL may have taken some of the other bits.
        file.set_perm(file.stat()?.perm | (plan.perm & 0o7000))?;
    }
    Ok(())
}
