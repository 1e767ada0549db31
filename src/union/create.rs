//! Creation of files, directories, links and devices.

use std::ffi::OsStr;
use std::sync::Arc;

use crate::layer::{Found, LayerDir, Mark, Owners, Part, Resolution, Verdict, whiteout};
use crate::sys::xattr::{self, Of, Set};
use crate::sys::{Dir, Errno, File, Kind, Name, OFlags, Rename, Result, Stat};

use super::clone_attributes::record;
use super::copy_up::UpperDir;
use super::descriptors::FileKey;
use super::lookup::Resolved;
use super::node::{DirContent, Inherit, Node, NodeId, UpperPart};
use super::{Attr, Owner, Union};

const DEFAULT_ACL: &str = "system.posix_acl_default";
const SET_GROUP_ID: u32 = 0o2000;

/// What to create.
#[derive(Clone, Copy, Debug)]
pub enum New<'a> {
    /// An empty regular file.
    File,
    /// An empty directory.
    Dir,
    /// A symbolic link to `target`.
    Symlink {
        /// What the link contains.
        target: &'a OsStr,
    },
    /// A device, fifo or socket; `rdev` is packed as by `makedev(3)`.
    Node {
        /// A FIFO, a socket or a device.
        kind: Kind,
        /// The number of the device; 0 for the others.
        rdev: u64,
    },
}

impl New<'_> {
    /// Whether the device itself would be a whiteout in the upper layer.
    fn is_whiteout_device(self) -> bool {
        matches!(self, New::Node { kind: Kind::CharDevice, rdev: 0 })
    }
}

/// The mode of a new entry: `perm` less `umask`; `umask` is ignored if the directory has a default ACL.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// Permission bits before the mask.
    pub perm: u32,
    /// The caller's mask; a default ACL of the directory replaces it.
    pub umask: u32,
}

/// A new entry with its final owner and mode, including what it inherits from its directory.
pub(super) struct Plan<'a> {
    new: New<'a>,
    pub(super) owner: Owner,
    pub(super) perm: u32,
}

impl Union {
    /// Creates `name` in `dir` for `owner`; counts one lookup of the new node.
    ///
    /// # Errors
    /// As `open(2)`, `mkdir(2)`, `symlink(2)` and `mknod(2)`.
    pub fn create(&self, owner: Owner, dir: NodeId, name: Name<'_>, new: New<'_>, mode: Mode) -> Result<Attr> {
        let dir = self.dir_node(dir)?;
        self.upper()?;
        dir.protection().permits_more()?;
        let upper = self.upper_dir(&dir)?;
        let mut state = dir.state.write();
        let content = state.dir_mut().ok_or(Errno::NOTDIR)?;
        let inherit = self.inherit(content, &upper)?;
        let plan = Plan::of(new, owner, mode, inherit);
        let removed = matches!(content.upper, UpperPart::Removed(_));
        let is_free_below =
            !removed && matches!(self.lookup_in(None, content, name), Ok(Resolved { is: Resolution::Missing, .. }));
        // If no lower layer has the name, skip the lookup in the upper layer: making the entry fails if it is there.
        let made = if is_free_below { self.make(&upper, name, &plan, inherit, false) } else { Err(Errno::EXIST) };
        let file = match made {
            Err(Errno::EXIST) => {
                let replaces_whiteout = self.check_free(&upper, content, name)?;
                self.make(&upper, name, &plan, inherit, replaces_whiteout)?
            }
            other => other?,
        };
        let attr = self.adopt((&dir, content), &upper, name)?;
        if let Some(file) = file {
            self.descriptors.keep_file(FileKey::Upper(attr.id), file);
        }
        Ok(attr)
    }

    /// Checks that no entry is visible under `name`. Returns whether the upper layer has a whiteout there.
    pub(super) fn check_free(&self, upper: &LayerDir, content: &DirContent, name: Name<'_>) -> Result<bool> {
        if matches!(content.upper, UpperPart::Removed(_)) {
            return Err(Errno::NOENT);
        }
        match upper.lookup(name)? {
            Verdict::Entry(_) => Err(Errno::EXIST),
            Verdict::Whiteout => Ok(true),
            Verdict::Nothing => match self.lookup_in(None, content, name)?.is {
                Resolution::Missing => Ok(false),
                _ => Err(Errno::EXIST),
            },
        }
    }

    /// The node of the entry just made under `name` in the upper layer; counts one use. The caller holds the
    /// directory's state.
    fn adopt(&self, dir: (&Arc<Node>, &DirContent), upper: &UpperDir, name: Name<'_>) -> Result<Attr> {
        // A new entry hides all lower ones.
        let found = Found { opaque: true, ..Found::plain(upper.stat(name)?) };
        let is = match found.is_dir() {
            true => Resolution::Dir(vec![(Part::Upper, found)]),
            false => Resolution::Leaf(Part::Upper, found),
        };
        let (node, stat) = self.intern(dir, Some(&**upper), name, &Resolved { is, data: None })?.ok_or(Errno::IO)?;
        node.note_new();
        dir.0.listing_add(name, stat.kind, node.id);
        Ok(Attr { id: node.id, stat })
    }

    fn make(
        &self,
        upper: &UpperDir,
        name: Name<'_>,
        plan: &Plan<'_>,
        inherit: Inherit,
        replaces_whiteout: bool,
    ) -> Result<Option<File>> {
        let layer = self.upper()?;
        let made_as = Owner { uid: self.own.uid, gid: inherit.group.unwrap_or(self.own.gid) };
        let simple = !replaces_whiteout && !whiteout::looks_like_one(name) && !plan.new.is_whiteout_device();
        if simple && self.stack.owners == Owners::Real && plan.owner == made_as {
            // One system call makes it complete.
            return plan.make_bare(upper, name, self.stack.owners);
        }
        let finish = |dir: &Dir, staged: Name<'_>| {
            let file = plan.make_bare(dir, staged, self.stack.owners)?;
            if replaces_whiteout && matches!(plan.new, New::Dir) {
                // A new directory must go on hiding what the whiteout hid.
                self.stack.namespace.set(Of::Name(dir, staged), Mark::Opaque, b"y")?;
            }
            plan.finish(dir, staged, self)?;
            whiteout::keep_plain(Of::Name(dir, staged), name, self.stack.namespace)?;
            Ok(file)
        };
        let (staged, file) = if inherit.default_acl {
            layer.stage_inheriting(|dir, name| become_like(dir, name, upper), finish)?
        } else {
            layer.stage(finish)?
        };
        let how = match (replaces_whiteout, plan.new) {
            (false, _) => Rename::NoReplace,
            (true, New::Dir) => Rename::Exchange,
            (true, _) => Rename::Replace,
        };
        staged.publish(upper, name, how)?;
        Ok(file)
    }

    /// What new entries inherit from a directory; cached in its content.
    pub(super) fn inherit(&self, content: &mut DirContent, upper: &UpperDir) -> Result<Inherit> {
        if let Some(known) = content.inherit {
            return Ok(known);
        }
        let stat = self.stack.owners.stat(Of::Dir(upper), upper.stat_self()?)?;
        let inherit = Inherit {
            group: (stat.perm & SET_GROUP_ID != 0).then_some(stat.gid),
            default_acl: xattr::get(Of::Dir(upper), OsStr::new(DEFAULT_ACL))?.is_some(),
        };
        content.inherit = Some(inherit);
        Ok(inherit)
    }
}

impl<'a> Plan<'a> {
    pub(super) fn of(new: New<'a>, owner: Owner, mode: Mode, inherit: Inherit) -> Plan<'a> {
        let perm = if inherit.default_acl { mode.perm } else { mode.perm & !mode.umask };
        let hands_on_group = matches!(new, New::Dir) && inherit.group.is_some();
        Plan {
            new,
            owner: Owner { uid: owner.uid, gid: inherit.group.unwrap_or(owner.gid) },
            perm: if hands_on_group { perm | SET_GROUP_ID } else { perm } & 0o7777,
        }
    }

    /// The mode with which this process makes the file.
    pub(super) fn perm_at_birth(&self, owners: Owners) -> u32 {
        if owners == Owners::Recorded { self.perm & 0o777 | 0o600 } else { self.perm }
    }

    /// Makes the entry with one system call; this process owns it.
    fn make_bare(&self, dir: &Dir, name: Name<'_>, owners: Owners) -> Result<Option<File>> {
        let perm = self.perm_at_birth(owners);
        match self.new {
            New::File => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
                return dir.open_file(name.as_os_str(), flags, perm).map(Some);
            }
            New::Dir => dir.make_dir(name, perm)?,
            New::Symlink { target } => dir.make_symlink(name, target)?,
            New::Node { kind, rdev } => {
                let device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
                let stands_for_it = device && (owners == Owners::Recorded || self.new.is_whiteout_device());
                let kind = if stands_for_it { Kind::Regular } else { kind };
                dir.make_node(name, kind, perm, rdev)?;
            }
        }
        Ok(None)
    }

    /// Sets the owner, and the mode bits that `chown` and `mkdir` drop.
    fn finish(&self, dir: &Dir, name: Name<'_>, union: &Union) -> Result<()> {
        if union.stack.owners == Owners::Recorded {
            let stat = dir.stat(name)?;
            let (kind, rdev) = match self.new {
                New::Node { kind, rdev } => (kind, rdev),
                _ => (stat.kind, 0),
            };
            let Owner { uid, gid } = self.owner;
            return record(dir, name, &Stat { uid, gid, perm: self.perm, kind, rdev, ..stat });
        }
        if self.owner != union.own {
            dir.set_owner(name, Some(self.owner.uid), Some(self.owner.gid))?;
        }
        if self.perm & 0o7000 != 0 && !matches!(self.new, New::Symlink { .. }) {
            // Keeps the low bits, which a default ACL may have reduced.
            dir.set_perm(name, dir.stat(name)?.perm | (self.perm & 0o7000))?;
        }
        if self.new.is_whiteout_device() {
            union.upper()?.stand_for_device(dir, name, self.perm)?;
        }
        Ok(())
    }
}

/// Gives a staging directory the default ACL of `upper`, so that entries made there inherit it.
fn become_like(dir: &Dir, name: Name<'_>, upper: &UpperDir) -> Result<()> {
    let key = OsStr::new(DEFAULT_ACL);
    if let Some(acl) = xattr::get(Of::Dir(upper), key)? {
        xattr::set(Of::Name(dir, name), key, &acl, Set::Any)?;
    }
    Ok(())
}
