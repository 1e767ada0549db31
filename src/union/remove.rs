//! Removal of files and directories.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::layer::{Found, LayerDir, Leaving, LowerDir, Part, Resolution, Verdict};
use crate::sys::{Errno, Kind, Name, NameBuf, PathFd, Rename, Result, Stat};

use super::Union;
use super::copy_up::{Need, UpperDir};
use super::lookup::Resolved;
use super::node::{Anchor, Content, DirContent, Node, NodeId, Real, UpperPart};

/// What kind of entry a removal expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remove {
    /// Anything but a directory: `unlink(2)`.
    File,
    /// An empty directory: `rmdir(2)`.
    Dir,
}

/// A name in a directory that is about to change, resolved.
pub(super) struct Entry {
    /// What the upper layer has.
    pub(super) above: Verdict,
    /// Whether the lower layers would show something under the name if the upper layer had nothing there.
    pub(super) is_below: bool,
    /// What the union shows.
    pub(super) resolved: Resolved,
}

impl Entry {
    /// Whether the name is one of several names of a lower file. The file must be in the index, which counts its names,
    /// before one of them is removed.
    pub(super) fn needs_index(&self) -> bool {
        matches!(&self.resolved.is, Resolution::Leaf(Part::Lower(_), found) if found.stat.nlink > 1)
    }
}

impl Union {
    /// Removes `name` from `dir`.
    ///
    /// # Errors
    /// As `unlink(2)` and `rmdir(2)`.
    pub fn remove(&self, dir: NodeId, name: Name<'_>, kind: Remove) -> Result<()> {
        self.upper()?;
        let dir = self.dir_node(dir)?;
        dir.protection().permits_change()?;
        if !dir.is_upper() {
            // A removal that will fail must not copy the directory up.
            let (state, _) = self.read_dir_state(&dir)?;
            let content = state.dir().ok_or(Errno::NOTDIR)?;
            let resolved = self.lookup_in(None, content, name)?;
            check_kind(&resolved, kind)?;
            if kind == Remove::Dir {
                self.check_empty((content, None), &resolved, name, None)?;
            }
        }
        let upper = self.upper_dir(&dir)?;
        while !self.try_remove(&dir, &upper, name, kind)? {
            let known = self.used(dir.id, name)?;
            self.copy_up(&known.node, Need::Metadata)?;
        }
        Ok(())
    }

    /// Returns false if the file must be put into the index first.
    fn try_remove(&self, dir: &Arc<Node>, upper: &UpperDir, name: Name<'_>, kind: Remove) -> Result<bool> {
        let state = dir.state.write();
        let content = state.dir().ok_or(Errno::NOTDIR)?;
        if kind == Remove::File && self.hide_lower((dir, content), upper, name)? {
            return Ok(true);
        }
        let entry = self.entry((dir, content), upper, name)?;
        if entry.needs_index() && kind == Remove::File {
            return Ok(false);
        }
        check_kind(&entry.resolved, kind)?;
        let child = self.known(dir, name, &entry.resolved.is);
        let child_dir = match &entry.above {
            Verdict::Entry(found) if found.is_dir() => Some(self.open_entry(upper, name, child.as_deref())?),
            _ => None,
        };
        let mut child_state = child.as_ref().map(|child| child.state.write());
        let whiteouts = match kind {
            Remove::File => None,
            Remove::Dir => {
                let known = child_state.as_ref().and_then(|state| state.dir());
                let below = |known: &DirContent| !known.lower.is_empty();
                let merges =
                    known.map_or(!matches!(&entry.resolved.is, Resolution::Dir(parts) if parts.len() == 1), below);
                // For a directory without lower parts, `rmdir` itself checks that it is empty.
                let lone = !merges && child_dir.is_some() && !entry.is_below;
                let holds = || self.check_empty((content, known), &entry.resolved, name, child_dir.as_deref());
                if lone { None } else { Some(holds()?) }
            }
        };
        let kept = match (&entry.above, &child) {
            (Verdict::Entry(found), Some(_)) if !found.is_dir() => Some(upper.open_path(name.as_os_str())?),
            _ => None,
        };
        let known = child_state.as_ref().and_then(|state| state.dir());
        let leaving = self.leaving(&entry)?;
        self.take_away((upper, content), name, &entry, (known, child_dir.as_deref(), whiteouts))?;
        dir.listing_remove(name);
        let last = self.count_down(leaving);
        if let (Some(child), Some(state)) = (&child, &mut child_state) {
            self.unplace(child, state, (dir, name), last.or(kept), child_dir);
        }
        drop((child_state, state));
        if child.is_some() {
            self.table.release(dir.id, 1);
        }
        Ok(true)
    }

    /// Fast path for a file that only lower layers have: makes the whiteout without a lookup in the upper layer, since
    /// that fails if the upper layer has the name. Returns false if the file must be removed the general way.
    fn hide_lower(&self, (dir, content): (&Arc<Node>, &DirContent), upper: &UpperDir, name: Name<'_>) -> Result<bool> {
        if content.lower.is_empty() || matches!(content.upper, UpperPart::Removed(_)) {
            return Ok(false);
        }
        let Ok(Resolved { is, .. }) = self.lookup_in(None, content, name) else { return Ok(false) };
        match &is {
            Resolution::Leaf(Part::Lower(_), found)
                if found.stat.nlink == 1 && found.protection.permits_change().is_ok() => {}
            _ => return Ok(false),
        }
        let child = self.known(dir, name, &is);
        let mut child_state = child.as_ref().map(|child| child.state.write());
        if child_state.as_ref().is_some_and(|state| state.is_upper()) {
            return Ok(false);
        }
        match self.upper()?.whiteout(upper, name) {
            Err(Errno::EXIST) => return Ok(false),
            other => other?,
        }
        dir.listing_remove(name);
        if let (Some(child), Some(state)) = (&child, &mut child_state) {
            self.unplace(child, state, (dir, name), None, None);
        }
        drop(child_state);
        if child.is_some() {
            self.table.release(dir.id, 1);
        }
        Ok(true)
    }

    /// Resolves `name` in the layers of a directory that is locked for a change.
    pub(super) fn entry(
        &self,
        (dir, content): (&Arc<Node>, &DirContent),
        upper: &LayerDir,
        name: Name<'_>,
    ) -> Result<Entry> {
        let found = upper.lookup_stat(name)?;
        if let Some(stat) = &found
            && let Some(entry) = self.known_entry((dir, content), name, stat)?
        {
            return Ok(entry);
        }
        let above = upper.lookup_found(name, found, content.lower.is_empty())?;
        let below = self.lookup_in(None, content, name);
        // A lower entry that cannot be resolved still exists.
        let is_below = !matches!(&below, Ok(Resolved { is: Resolution::Missing, .. }));
        let alone = |is| Resolved { is, data: None };
        let resolved = match &above {
            Verdict::Nothing => below?,
            Verdict::Whiteout => alone(Resolution::Missing),
            Verdict::Entry(found) if found.redirect.is_some() || found.metacopy => {
                self.lookup_in(Some(upper), content, name)?
            }
            Verdict::Entry(found) if !found.is_dir() => alone(Resolution::Leaf(Part::Upper, found.clone())),
            Verdict::Entry(found) => {
                let mut parts = vec![(Part::Upper, found.clone())];
                if !found.opaque
                    && let Resolution::Dir(below) = below?.is
                {
                    parts.extend(below);
                }
                alone(Resolution::Dir(parts))
            }
        };
        Ok(Entry { above, is_below, resolved })
    }

    /// The entry of a known node of the upper layer with this place; reads no marks, since the node has their content.
    /// For a directory, the result has the upper part only.
    fn known_entry(
        &self,
        (dir, content): (&Arc<Node>, &DirContent),
        name: Name<'_>,
        stat: &Stat,
    ) -> Result<Option<Entry>> {
        let real = Real::of(stat);
        let Some(node) = self.table.peek(self.table.id_of(real)) else { return Ok(None) };
        let is_below = {
            let state = node.state.read();
            let here = state.places.iter().any(|p| Arc::ptr_eq(&p.parent, dir) && p.name.as_name() == name);
            let several = stat.nlink > 1 && stat.kind != Kind::Directory;
            if !here || several || !state.is_upper() || state.real != real || state.data_below().is_some() {
                return Ok(None);
            }
            let continues = |below: LowerDir| content.lower.iter().any(|above| above.has_child(name, &below));
            state.dir().and_then(|child| child.lower.first()).is_some_and(continues)
        };
        let is_below =
            is_below || !matches!(self.lookup_in(None, content, name), Ok(Resolved { is: Resolution::Missing, .. }));
        let found = Found { protection: node.protection(), ..Found::plain(*stat) };
        let is = match found.is_dir() {
            true => Resolution::Dir(vec![(Part::Upper, found.clone())]),
            false => Resolution::Leaf(Part::Upper, found.clone()),
        };
        Ok(Some(Entry { above: Verdict::Entry(found), is_below, resolved: Resolved { is, data: None } }))
    }

    /// Opens the directory `name` of the upper layer; `node` is its node, if known.
    pub(super) fn open_entry(&self, upper: &UpperDir, name: Name<'_>, node: Option<&Node>) -> Result<Arc<LayerDir>> {
        match node.and_then(|node| self.descriptors.open_upper_dir(node.id)) {
            Some(open) => Ok(open),
            None => {
                let dir = upper.open_dir(name.as_os_str())?;
                let adopted = node.is_some_and(|node| {
                    node.state.read().dir().is_some_and(|content| content.adopted.load(Ordering::Acquire))
                });
                Ok(Arc::new(if adopted { dir.adopted() } else { dir }))
            }
        }
    }

    /// The node of a resolved entry, if it is in the table and has this name.
    pub(super) fn known(&self, dir: &Arc<Node>, name: Name<'_>, found: &Resolution<Part>) -> Option<Arc<Node>> {
        let real = Real::of(&found.top()?.1.stat);
        let node = self.table.peek(self.identify(found)?)?;
        let known = {
            let state = node.state.read();
            let here = state.places.iter().any(|p| Arc::ptr_eq(&p.parent, dir) && p.name.as_name() == name);
            here && state.is(real)
        };
        known.then_some(node)
    }

    /// Checks that a directory shows no entry. Returns the whiteouts in `upper`, its own part in the upper layer.
    /// `known` is the content of its node, if there is one.
    ///
    /// # Errors
    /// `ENOTEMPTY`; `ENOTDIR` if it is not a directory.
    pub(super) fn check_empty(
        &self,
        (parent, known): (&DirContent, Option<&DirContent>),
        resolved: &Resolved,
        name: Name<'_>,
        upper: Option<&LayerDir>,
    ) -> Result<Vec<NameBuf>> {
        if let Some(known) = known {
            return self.whiteouts_alone(upper, known);
        }
        let Content::Dir(content) = self.content_of(parent, name, resolved) else { return Err(Errno::NOTDIR) };
        self.whiteouts_alone(upper, &content)
    }

    /// Removes a visible entry by one rename, or by one call that makes a whiteout or removes the entry. The last
    /// argument is for a directory: the content of its node, its descriptor, and its whiteouts if they were listed.
    fn take_away(
        &self,
        (upper, content): (&UpperDir, &DirContent),
        name: Name<'_>,
        entry: &Entry,
        (known, child, whiteouts): (Option<&DirContent>, Option<&LayerDir>, Option<Vec<NameBuf>>),
    ) -> Result<()> {
        let layer = self.upper()?;
        let found = match &entry.above {
            Verdict::Entry(found) => found,
            Verdict::Nothing | Verdict::Whiteout => return layer.whiteout(upper, name),
        };
        if entry.is_below {
            let (staged, ()) = layer.stage(|work, staged| layer.whiteout(work, staged))?;
            return match (child, &whiteouts) {
                (Some(child), Some(whiteouts)) => staged.replace_dir(upper, name, (child, whiteouts)),
                _ => staged.publish(upper, name, if found.is_dir() { Rename::Exchange } else { Rename::Replace }),
            };
        }
        let Some(child) = child else { return upper.remove_file(name) };
        match upper.remove_dir(name) {
            // It holds whiteouts, if it shows no entry.
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                let whiteouts = self.check_empty((content, known), &entry.resolved, name, Some(child))?;
                layer.discard((upper, name), (child, &whiteouts))
            }
            other => other,
        }
    }

    /// Before the removal of a name of an indexed file: collects what [`count_down`](Self::count_down) needs.
    pub(super) fn leaving(&self, entry: &Entry) -> Result<Option<(Leaving, bool)>> {
        let Resolution::Leaf(part, found) = &entry.resolved.is else { return Ok(None) };
        let Some(indexed) = self.indexed(part, found) else { return Ok(None) };
        Ok(Some((self.index()?.leaving(&indexed)?, matches!(part, Part::Index(_)))))
    }

    /// After the removal: counts the name down. Returns the file if that was its last name.
    pub(super) fn count_down(&self, leaving: Option<(Leaving, bool)>) -> Option<PathFd> {
        let (leaving, hidden) = leaving?;
        self.index.as_ref()?.unlinked(leaving, hidden)
    }

    /// Removes one name from a node. A node in use without a name is found by the descriptor `kept` from then on.
    pub(super) fn unplace(
        &self,
        node: &Node,
        state: &mut super::State,
        place: (&Arc<Node>, Name<'_>),
        kept: Option<PathFd>,
        dir: Option<Arc<LayerDir>>,
    ) {
        state.places.retain(|p| !(Arc::ptr_eq(&p.parent, place.0) && p.name.as_name() == place.1));
        let nameless = state.places.is_empty();
        match &mut state.content {
            Content::Dir(content) => {
                if let Some(dir) = dir {
                    content.upper = UpperPart::Removed(dir);
                }
                self.descriptors.forget(node.id);
            }
            Content::Upper(upper) => {
                let gone = match &upper.at {
                    Anchor::Place => nameless,
                    Anchor::Index(indexed) => self.index.as_ref().is_none_or(|i| i.of_number(indexed.number).is_none()),
                    Anchor::Unlinked(_) => false,
                };
                if let (true, Some(fd)) = (gone, kept) {
                    upper.at = Anchor::Unlinked(Arc::new(fd));
                }
            }
            Content::Lower(_) => {}
        }
    }
}

/// Checks kind and protection of an entry that is to be removed.
fn check_kind(resolved: &Resolved, kind: Remove) -> Result<()> {
    match (&resolved.is, kind) {
        (Resolution::Missing, _) => Err(Errno::NOENT),
        (is, _) if is.top().is_some_and(|(_, found)| found.protection.permits_change().is_err()) => Err(Errno::PERM),
        (Resolution::Leaf(..), Remove::File) | (Resolution::Dir(_), Remove::Dir) => Ok(()),
        (Resolution::Leaf(..), Remove::Dir) => Err(Errno::NOTDIR),
        (Resolution::Dir(_), Remove::File) => Err(Errno::ISDIR),
    }
}

/// The entry, if it is a directory of the upper layer.
pub(super) fn is_upper_dir(verdict: &Verdict) -> Option<&Found> {
    match verdict {
        Verdict::Entry(found) if found.is_dir() => Some(found),
        _ => None,
    }
}
