//! Renaming.
//!
//! A directory with lower parts gets a redirect mark with its old path, since the lower layers do not change. So does a
//! metadata-only file. The mark is written before the rename and is valid at the old name as well as at the new one, so
//! that a crash between the two steps does no harm.

use std::sync::Arc;

use parking_lot::RwLockWriteGuard;

use crate::layer::{Mark, RedirectDir, Resolution, Verdict};
use crate::sys::xattr::Of;
use crate::sys::{Errno, Kind, Name, Rename, Result};

use super::clone_attributes::clone_attributes;
use super::content_location::{At, UpperAt};
use super::copy_up::{Need, UpperDir};
use super::create::{Mode, New};
use super::lookup::Used;
use super::node::{Content, DirContent, Node, NodeId, Place, State};
use super::remove::{Entry, Remove, is_upper_dir};
use super::{Owner, Union};

/// A name in a directory.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a> {
    /// The directory.
    pub dir: NodeId,
    /// The entry's name in it.
    pub name: Name<'a>,
}

/// What a rename does with an existing target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// An existing target is replaced.
    Replace,
    /// Fails with `EEXIST` when the target exists.
    NoReplace,
    /// Both exist and change places.
    Exchange,
}

/// One side of a rename: a directory that is in the upper layer, and a name in it.
pub(super) struct Side<'a> {
    pub(super) dir: Arc<Node>,
    pub(super) upper: UpperDir,
    pub(super) name: Name<'a>,
}

/// How many uses of each directory a rename gives back: one for each place that a node lost in it.
#[derive(Clone, Copy, Debug, Default)]
struct Freed {
    from: u64,
    to: u64,
}

/// The result of an attempt to rename.
enum Tried {
    Done,
    /// Not done: an entry has changed, or must be looked up or copied up first.
    Changed,
    /// Not done: the target is one of several names of a lower file, which must be put into the index first.
    NeedsIndex,
}

impl Union {
    /// Moves `from` to `to` and leaves a whiteout device at `from` (`RENAME_WHITEOUT`), for a union filesystem that has
    /// its layers in this one.
    ///
    /// If `to` is free, the whiteout is made there, where it hides nothing, and one rename exchanges the two. If `to`
    /// exists, it takes two steps: the move, then the whiteout. No system call moves three things, and the upper file
    /// system's own `RENAME_WHITEOUT` would leave a whiteout of this layer, which hides the name instead of showing a
    /// device.
    ///
    /// # Errors
    /// As `renameat2(2)`; `EIO` if the entry was moved but the whiteout could not be made.
    pub fn rename_leaving_whiteout(&self, owner: Owner, from: Slot<'_>, to: Slot<'_>, how: How) -> Result<()> {
        let new = New::Node { kind: Kind::CharDevice, rdev: 0 };
        let leave = |slot: Slot<'_>| {
            let made = self.create(owner, slot.dir, slot.name, new, Mode { perm: 0, umask: 0 })?;
            self.forget(made.id, 1);
            Ok(())
        };
        // Checked first: a move that will fail must not make a whiteout.
        self.movable(from)?;
        match leave(to) {
            Ok(()) => self.rename(from, to, How::Exchange).inspect_err(|_| {
                if let Err(error) = self.remove(to.dir, to.name, Remove::File) {
                    tracing::warn!(name = ?to.name, %error, "a whiteout that hides nothing stays");
                }
            }),
            Err(Errno::EXIST) if how == How::Replace => {
                self.rename(from, to, how)?;
                leave(from).map_err(|error| {
                    tracing::error!(name = ?from.name, %error, "was moved and left no whiteout");
                    Errno::IO
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Moves `from` to `to`.
    ///
    /// # Errors
    /// As `renameat2(2)`; `EXDEV` for a directory with lower parts if redirect marks are off.
    pub fn rename(&self, from: Slot<'_>, to: Slot<'_>, how: How) -> Result<()> {
        self.upper()?;
        let _one_at_a_time = (from.dir != to.dir).then(|| self.renaming.lock());
        self.dir_node(from.dir)?.protection().permits_change()?;
        self.dir_node(to.dir)?.protection().permits_more()?;
        // Fast path: usually nothing has to be copied up or looked up first.
        if how != How::Exchange && matches!(self.try_rename((from, None), (to, None), how)?, Tried::Done) {
            return Ok(());
        }
        loop {
            let source = self.movable(from)?;
            let target = if how == How::Exchange { Some(self.movable(to)?) } else { None };
            // Both were checked before: a rename that is refused must not copy anything up.
            for (slot, moved) in [(from, Some(&source)), (to, target.as_ref())] {
                let Some(Used { node, .. }) = moved else { continue };
                self.copy_up(node, self.need_to_move())?;
                self.link_up(node, &Place { parent: self.dir_node(slot.dir)?, name: slot.name.to_owned() })?;
            }
            let target = target.as_ref().map(|target| &target.node);
            match self.try_rename((from, Some(&source.node)), (to, target), how)? {
                Tried::Done => return Ok(()),
                Tried::Changed => {}
                Tried::NeedsIndex => self.copy_up(&self.used(to.dir, to.name)?.node, Need::Metadata)?,
            }
        }
    }

    /// Looks up an entry that is to be moved, and checks that it may be.
    fn movable(&self, slot: Slot<'_>) -> Result<Used<'_>> {
        let used = self.used(slot.dir, slot.name)?;
        let is_below = used.node.state.read().dir().is_some_and(|dir| !dir.lower.is_empty());
        used.node.protection().permits_change()?;
        let refused = is_below && self.stack.redirects != RedirectDir::On;
        if refused { Err(Errno::XDEV) } else { Ok(used) }
    }

    /// Renames. `source` is the node at `from`, checked and copied up. Without it, the entry at `from` is moved only if
    /// it needs no preparation.
    fn try_rename(
        &self,
        from: (Slot<'_>, Option<&Arc<Node>>),
        to: (Slot<'_>, Option<&Arc<Node>>),
        how: How,
    ) -> Result<Tried> {
        let ((from, source), (to, target)) = (from, to);
        let (from_dir, to_dir) = (self.dir_node(from.dir)?, self.dir_node(to.dir)?);
        if source.is_some_and(|source| source.is_dir() && is_within(&to_dir, source)) {
            return Err(Errno::INVAL);
        }
        if target.is_some_and(|target| target.is_dir() && is_within(&from_dir, target)) {
            return Err(Errno::INVAL);
        }
        let encloses = holds(&to_dir, to.name, &from_dir);
        if source.is_none() {
            // An entry that is or contains one of the two directories would deadlock if looked up under their locks.
            let is_apart = !encloses && !holds(&from_dir, from.name, &to_dir);
            if !(is_apart && from_dir.is_upper() && to_dir.is_upper()) {
                return Ok(Tried::Changed);
            }
        }
        if encloses {
            return Err(Errno::NOTEMPTY);
        }
        let from = Side { upper: self.upper_dir(&from_dir)?, dir: from_dir, name: from.name };
        let to = Side { upper: self.upper_dir(&to_dir)?, dir: to_dir, name: to.name };
        let (from_state, to_state) = lock_both(&from.dir, &to.dir);
        let from_content = from_state.dir().ok_or(Errno::NOTDIR)?;
        let to_content = to_state.as_ref().unwrap_or(&from_state).dir().ok_or(Errno::NOTDIR)?;
        let leaving = self.entry((&from.dir, from_content), &from.upper, from.name)?;
        let found = match &leaving.above {
            Verdict::Entry(_) => self.known(&from.dir, from.name, &leaving.resolved.is),
            Verdict::Nothing | Verdict::Whiteout => None,
        };
        let Some(found) = found else { return Ok(Tried::Changed) };
        let is_it = source.map_or_else(
            || self.is_ready_to_move(&found) && (!found.is_dir() || Arc::ptr_eq(&from.dir, &to.dir)),
            |source| Arc::ptr_eq(source, &found),
        );
        if !is_it {
            return Ok(Tried::Changed);
        }
        let source = &found;
        let arriving = self.entry((&to.dir, to_content), &to.upper, to.name)?;
        let is_there = |node: &Arc<Node>| {
            matches!(arriving.above, Verdict::Entry(_))
                && self.known(&to.dir, to.name, &arriving.resolved.is).is_some_and(|known| Arc::ptr_eq(&known, node))
        };
        if target.is_some_and(|target| !is_there(target)) {
            return Ok(Tried::Changed);
        }
        if how == How::Replace && !source.is_dir() && arriving.needs_index() {
            return Ok(Tried::NeedsIndex);
        }
        let freed = match target {
            Some(target) => {
                self.exchange((&from, from_content, &leaving, source), (&to, to_content, &arriving, target))?
            }
            None => self.replace((&from, &leaving, source), (&to, to_content, &arriving), how)?,
        };
        drop((from_state, to_state));
        self.table.release(from.dir.id, freed.from);
        self.table.release(to.dir.id, freed.to);
        Ok(Tried::Done)
    }

    /// Whether a node may be moved without preparation: it is not protected, needs no copy-up and is not in the index.
    fn is_ready_to_move(&self, node: &Node) -> bool {
        let state = node.state.read();
        let is_below = state.dir().is_some_and(|dir| !dir.lower.is_empty());
        node.protection().permits_change().is_ok()
            && state.is_upper()
            && state.indexed().is_none()
            && (state.data_below().is_none() || self.need_to_move() == Need::Metadata)
            && (!is_below || self.stack.redirects == RedirectDir::On)
    }

    fn exchange(
        &self,
        from: (&Side<'_>, &DirContent, &Entry, &Arc<Node>),
        to: (&Side<'_>, &DirContent, &Entry, &Arc<Node>),
    ) -> Result<Freed> {
        let ((from, from_content, leaving, source), (to, to_content, arriving, target)) = (from, to);
        if Arc::ptr_eq(source, target) {
            return Ok(Freed::default());
        }
        self.mark_for_move((source, from), (to, to_content, arriving))?;
        self.mark_for_move((target, to), (from, from_content, leaving))?;
        let mut states = write_both(source, target);
        from.upper.rename(from.name, &to.upper, to.name, Rename::Exchange)?;
        replace_place(&mut states.0, from, to);
        replace_place(&mut states.1, to, from);
        from.dir.listing_remove(from.name);
        to.dir.listing_remove(to.name);
        from.dir.listing_add(from.name, target.kind, target.id);
        to.dir.listing_add(to.name, source.kind, source.id);
        // Each directory lost one place and gained one.
        Ok(Freed::default())
    }

    fn replace(
        &self,
        (from, leaving, source): (&Side<'_>, &Entry, &Arc<Node>),
        (to, content, arriving): (&Side<'_>, &DirContent, &Entry),
        how: How,
    ) -> Result<Freed> {
        let visible = &arriving.resolved.is;
        let victim = self.known(&to.dir, to.name, visible);
        let victim_dir = match is_upper_dir(&arriving.above) {
            Some(_) => Some(self.open_entry(&to.upper, to.name, victim.as_deref())?),
            None => None,
        };
        match visible {
            Resolution::Missing => {}
            _ if how == How::NoReplace => return Err(Errno::EXIST),
            is => {
                is.top().map_or(Ok(()), |(_, found)| found.protection.permits_change())?;
                to.dir.protection().permits_change()?;
            }
        }
        match visible {
            Resolution::Missing => {}
            // Source and target are the same file: rename(2) does nothing.
            _ if victim.as_ref().is_some_and(|v| Arc::ptr_eq(v, source)) => return Ok(Freed::default()),
            Resolution::Leaf(..) if source.is_dir() => return Err(Errno::NOTDIR),
            Resolution::Leaf(..) => {}
            Resolution::Dir(_) if !source.is_dir() => return Err(Errno::ISDIR),
            Resolution::Dir(_) => {
                let state = victim.as_ref().map(|victim| victim.state.read());
                let known = state.as_ref().and_then(|state| state.dir());
                self.check_empty((content, known), &arriving.resolved, to.name, victim_dir.as_deref())?;
            }
        }
        let kept = match (&arriving.above, &victim) {
            (Verdict::Entry(found), Some(_)) if !found.is_dir() => Some(to.upper.open_path(to.name.as_os_str())?),
            _ => None,
        };
        self.mark_for_move((source, from), (to, content, arriving))?;
        let (mut state, mut victim_state) = match &victim {
            Some(victim) => {
                let (state, victim_state) = write_both(source, victim);
                (state, Some(victim_state))
            }
            None => (source.state.write(), None),
        };
        let counted = self.leaving(arriving)?;
        self.move_in_upper(from, leaving.is_below, to, arriving, source.is_dir())?;
        let last = self.count_down(counted);
        replace_place(&mut state, from, to);
        self.table.hold(&to.dir);
        from.dir.listing_remove(from.name);
        to.dir.listing_remove(to.name);
        to.dir.listing_add(to.name, source.kind, source.id);
        if let (Some(victim), Some(state)) = (&victim, &mut victim_state) {
            self.unplace(victim, state, (&to.dir, to.name), last.or(kept), victim_dir);
        }
        Ok(Freed { from: 1, to: u64::from(victim.is_some()) })
    }

    /// The system calls of a move. `leave`: make a whiteout at the old name, since lower layers have it.
    fn move_in_upper(&self, from: &Side<'_>, leave: bool, to: &Side<'_>, arriving: &Entry, is_dir: bool) -> Result<()> {
        match &arriving.above {
            Verdict::Whiteout if is_dir => {
                // A directory cannot replace a device file, so the two are exchanged.
                from.upper.rename(from.name, &to.upper, to.name, Rename::Exchange)?;
                if !leave && let Err(error) = from.upper.remove_file(from.name) {
                    tracing::warn!(name = ?from.name, %error, "a whiteout that hides nothing stays");
                }
                return Ok(());
            }
            Verdict::Entry(found) if found.is_dir() => {
                return self.move_over_dir(to, || self.move_alone(from, leave, to, arriving));
            }
            _ => {}
        }
        self.move_alone(from, leave, to, arriving)
    }

    /// The one rename of a move.
    fn move_alone(&self, from: &Side<'_>, leave: bool, to: &Side<'_>, arriving: &Entry) -> Result<()> {
        let move_as = |how| from.upper.rename(from.name, &to.upper, to.name, how);
        if !leave {
            return move_as(Rename::Replace);
        }
        match move_as(Rename::LeaveWhiteout) {
            Err(Errno::INVAL) => self.move_then_whiteout(from, to, arriving),
            other => other,
        }
    }

    /// A move with a whiteout on a file system without `RENAME_WHITEOUT`: makes a whiteout at the target, where it
    /// hides nothing, and exchanges the two. Over a visible entry it takes two steps: the move, then the whiteout.
    fn move_then_whiteout(&self, from: &Side<'_>, to: &Side<'_>, arriving: &Entry) -> Result<()> {
        let layer = self.upper()?;
        match (&arriving.above, &arriving.resolved.is) {
            (Verdict::Whiteout, _) => from.upper.rename(from.name, &to.upper, to.name, Rename::Exchange),
            (Verdict::Nothing, Resolution::Missing) => {
                layer.whiteout(&to.upper, to.name)?;
                from.upper.rename(from.name, &to.upper, to.name, Rename::Exchange).inspect_err(|_| {
                    if let Err(error) = to.upper.remove_file(to.name) {
                        tracing::warn!(name = ?to.name, %error, "a whiteout that hides nothing stays");
                    }
                })
            }
            _ => {
                let (staged, ()) = layer.stage(|work, staged| layer.whiteout(work, staged))?;
                from.upper.rename(from.name, &to.upper, to.name, Rename::Replace)?;
                if let Err(error) = staged.publish(&from.upper, from.name, Rename::NoReplace) {
                    tracing::error!(name = ?from.name, %error, "moved without a whiteout: the lower entry shows again");
                }
                Ok(())
            }
        }
    }

    /// Moves over a directory that shows no entry. If it holds whiteouts, it is first replaced by an empty opaque copy,
    /// which shows the same. If the move then fails, the old directory is put back.
    fn move_over_dir(&self, to: &Side<'_>, move_it: impl FnOnce() -> Result<()>) -> Result<()> {
        let old = to.upper.open_dir(to.name.as_os_str())?;
        if old.entries()?.is_empty() {
            return move_it();
        }
        let layer = self.upper()?;
        let like = self.stack.owners.stat(Of::Dir(&old), old.stat_self()?)?;
        let xattrs = self.stack.policy().own_xattrs(Of::Dir(&old))?;
        let old = At::Upper(UpperAt::Dir(Arc::new(old)));
        let (staged, ()) = layer.stage(|dir, staged| {
            dir.make_dir(staged, 0o700)?;
            layer.policy.marks.set(Of::Name(dir, staged), Mark::Opaque, b"y")?;
            clone_attributes((&old, xattrs), &like, (dir, staged), (layer, self.stack.owners), self.own).map(drop)
        })?;
        staged.exchange(&to.upper, to.name)?;
        move_it().inspect_err(|_| {
            if let Err(error) = staged.exchange(&to.upper, to.name) {
                tracing::error!(name = ?to.name, %error, "a failed move left a copy of a directory in its place");
            }
        })
    }
}

/// Locks two entries in the common order, which matters since they may have names in other directories too.
fn write_both<'n>(one: &'n Node, other: &'n Node) -> (RwLockWriteGuard<'n, State>, RwLockWriteGuard<'n, State>) {
    if one.id < other.id {
        let first = one.state.write();
        (first, other.state.write())
    } else {
        let second = other.state.write();
        (one.state.write(), second)
    }
}

fn replace_place(state: &mut State, old: &Side<'_>, new: &Side<'_>) {
    let moved = Place { parent: new.dir.clone(), name: new.name.to_owned() };
    let place = state.places.iter_mut().find(|p| Arc::ptr_eq(&p.parent, &old.dir) && p.name.as_name() == old.name);
    match place {
        Some(place) => *place = moved,
        None => state.places.push(moved),
    }
    if let Content::Dir(content) = &mut state.content {
        content.inherit = None;
    }
}

/// Whether `node` is `ancestor` or lies below it. The caller holds `renaming`, unless the rename is within
/// one directory.
fn is_within(node: &Arc<Node>, ancestor: &Arc<Node>) -> bool {
    let mut at = node.clone();
    loop {
        if Arc::ptr_eq(&at, ancestor) {
            return true;
        }
        let parent = at.state.read().places.first().map(|place| place.parent.clone());
        match parent {
            Some(parent) => at = parent,
            None => return false,
        }
    }
}

/// Whether `node` lies in the entry `name` of `dir`.
fn holds(dir: &Arc<Node>, name: Name<'_>, node: &Arc<Node>) -> bool {
    let mut at = node.clone();
    loop {
        let place = at.state.read().places.first().cloned();
        match place {
            Some(place) if Arc::ptr_eq(&place.parent, dir) => return place.name.as_name() == name,
            Some(place) => at = place.parent,
            None => return false,
        }
    }
}

/// Locks two directories in the common order; one guard if they are the same.
fn lock_both<'n>(
    from: &'n Arc<Node>,
    to: &'n Arc<Node>,
) -> (RwLockWriteGuard<'n, State>, Option<RwLockWriteGuard<'n, State>>) {
    if Arc::ptr_eq(from, to) {
        return (from.state.write(), None);
    }
    let from_first = is_within(to, from) || (!is_within(from, to) && from.id < to.id);
    if from_first {
        let first = from.state.write();
        (first, Some(to.state.write()))
    } else {
        let second = to.state.write();
        (from.state.write(), Some(second))
    }
}
