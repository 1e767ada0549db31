//! Removal of files and directories.

use std::sync::Arc;

use crate::layer::{self, Found, Resolution, Seen, whiteout};
use crate::sys::{Dir, Errno, Name, PathFd, Rename, Result};

use super::Union;
use super::copy_up::UpperDir;
use super::lookup::{Part, real_of};
use super::node::{Content, DirContent, Node, NodeId, UpperPart};

/// What kind of entry a removal expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remove {
    File,
    Dir,
}

/// One name of a directory that is about to change: what stands in the upper layer, and what below.
pub(super) struct Entry {
    /// What the upper layer says.
    pub(super) above: Seen,
    /// What the lower layers alone say.
    pub(super) below: Resolution<Part>,
}

impl Entry {
    /// What the union shows.
    pub(super) fn visible(&self) -> Resolution<Part> {
        match &self.above {
            Seen::Nothing => self.below.clone(),
            Seen::Whiteout => Resolution::Missing,
            Seen::Entry(found) if !found.is_dir() => Resolution::Leaf(Part::Upper, found.clone()),
            Seen::Entry(found) => {
                let mut parts = vec![(Part::Upper, found.clone())];
                if let (false, Resolution::Dir(below)) = (found.opaque, &self.below) {
                    parts.extend(below.iter().cloned());
                }
                Resolution::Dir(parts)
            }
        }
    }

    /// Whether the name would show something from below if the upper layer said nothing.
    pub(super) fn is_below(&self) -> bool {
        !matches!(self.below, Resolution::Missing)
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
        if !dir.is_upper() {
            // What cannot be removed copies no directory up.
            let (state, _) = self.read_dir_state(&dir)?;
            let lower = &state.dir().ok_or(Errno::NOTDIR)?.lower;
            self.check_kind(&self.look(None, lower, name)?, name, kind, None)?;
        }
        let upper = self.upper_dir(&dir)?;
        let state = dir.state.write();
        let content = state.dir().ok_or(Errno::NOTDIR)?;
        let entry = self.entry(&upper, content, name)?;
        let visible = entry.visible();
        let child_dir = match &entry.above {
            Seen::Entry(found) if found.is_dir() => Some(Arc::new(upper.open_dir(name.as_os_str())?)),
            _ => None,
        };
        let child = self.known(&dir, name, &visible);
        let mut child_state = child.as_ref().map(|child| child.state.write());
        self.check_kind(&visible, name, kind, child_dir.as_deref())?;
        let kept = match (&entry.above, &child) {
            (Seen::Entry(found), Some(_)) if !found.is_dir() => Some(upper.open_path(name.as_os_str())?),
            _ => None,
        };
        self.take_away(&upper, name, &entry)?;
        dir.listing_remove(name);
        if let (Some(child), Some(state)) = (&child, &mut child_state) {
            self.unplace(child, state, (&dir, name), kept, child_dir);
        }
        drop((child_state, state));
        if child.is_some() {
            self.table.release(dir.id, 1);
        }
        Ok(())
    }

    /// What the layers of a directory that is locked for a change say of `name`.
    pub(super) fn entry(&self, upper: &Dir, content: &DirContent, name: Name<'_>) -> Result<Entry> {
        Ok(Entry { above: layer::see(upper, name)?, below: self.look(None, &content.lower, name)? })
    }

    /// The node of an entry, if it is known and has this name.
    pub(super) fn known(&self, dir: &Arc<Node>, name: Name<'_>, found: &Resolution<Part>) -> Option<Arc<Node>> {
        let real = match found {
            Resolution::Missing => return None,
            Resolution::Leaf(_, found) => real_of(found),
            Resolution::Dir(parts) => real_of(&parts.first()?.1),
        };
        let node = self.table.peek(self.identify(dir.id, name, found)?)?;
        let known = {
            let state = node.state.read();
            let here = state.places.iter().any(|p| Arc::ptr_eq(&p.parent, dir) && p.name.as_name() == name);
            here && state.real == real
        };
        known.then_some(node)
    }

    fn check_kind(&self, found: &Resolution<Part>, name: Name<'_>, kind: Remove, upper: Option<&Dir>) -> Result<()> {
        match (found, kind) {
            (Resolution::Missing, _) => Err(Errno::NOENT),
            (Resolution::Leaf(..), Remove::File) => Ok(()),
            (Resolution::Leaf(..), Remove::Dir) => Err(Errno::NOTDIR),
            (Resolution::Dir(_), Remove::File) => Err(Errno::ISDIR),
            (Resolution::Dir(_), Remove::Dir) => self.check_empty(found, name, upper),
        }
    }

    /// `upper` is the directory's own part in the upper layer.
    pub(super) fn check_empty(&self, found: &Resolution<Part>, name: Name<'_>, upper: Option<&Dir>) -> Result<()> {
        let Content::Dir(content) = self.content_of(name, found) else { return Err(Errno::NOTDIR) };
        if self.is_empty_dir(upper, &content)? { Ok(()) } else { Err(Errno::NOTEMPTY) }
    }

    /// Makes a visible entry vanish: one rename, or one call that makes or removes.
    fn take_away(&self, upper: &UpperDir, name: Name<'_>, entry: &Entry) -> Result<()> {
        let layer = self.upper()?;
        let found = match &entry.above {
            Seen::Entry(found) => found,
            Seen::Nothing | Seen::Whiteout => return whiteout::create(upper, name),
        };
        if entry.is_below() {
            let (staged, ()) = layer.stage(whiteout::create)?;
            let how = if found.is_dir() { Rename::Exchange } else { Rename::Replace };
            return staged.publish(upper, name, how);
        }
        if !found.is_dir() {
            return upper.remove_file(name);
        }
        match upper.remove_dir(name) {
            // It holds whiteouts.
            Err(Errno::NOTEMPTY | Errno::EXIST) => layer.discard(upper, name),
            other => other,
        }
    }

    /// Takes one name from a node. What stays in use keeps a descriptor of its content.
    pub(super) fn unplace(
        &self,
        node: &Node,
        state: &mut super::State,
        place: (&Arc<Node>, Name<'_>),
        kept: Option<PathFd>,
        dir: Option<Arc<Dir>>,
    ) {
        state.places.retain(|p| !(Arc::ptr_eq(&p.parent, place.0) && p.name.as_name() == place.1));
        match &mut state.content {
            Content::Dir(content) => {
                if let Some(dir) = dir {
                    content.upper = UpperPart::Removed(dir);
                }
                self.descriptors.forget(node.id);
            }
            content @ Content::Upper if state.places.is_empty() => {
                if let Some(fd) = kept {
                    *content = Content::Unlinked(Arc::new(fd));
                }
            }
            _ => {}
        }
    }
}

/// Whether this is a directory of the upper layer.
pub(super) fn is_upper_dir(seen: &Seen) -> Option<&Found> {
    match seen {
        Seen::Entry(found) if found.is_dir() => Some(found),
        _ => None,
    }
}
