//! Copy-up of lower files with several names: the copy is one file under all of them.

use std::path::Path;
use std::sync::Arc;

use crate::layer::{LinkedNames, Origin, Staged, whiteout};
use crate::sys::xattr::Of;
use crate::sys::{Errno, Name, Result};

use super::Union;
use super::copy_up::{Copied, Source, quietly};
use super::lookup::Used;
use super::node::{Anchor, Content, Node, NodeId, Place};

impl Union {
    /// Publishes a finished copy of a lower file with `links` names: in the index, and under all of its names. The
    /// names make it one file for programs that read the upper layer without the index too.
    pub(super) fn publish_index(
        &self,
        node: &Arc<Node>,
        staged: Staged<'_>,
        (real, data, file): Copied,
        origin: &Source,
        links: u32,
    ) -> Result<()> {
        let name = Origin::index_name(origin.number, origin.uuid, origin.handle.as_ref());
        let indexed = self.index()?.publish(staged, &name, node.id.0, links)?;
        let below = match &node.state.read().content {
            Content::Lower(lower) => Some(lower.file.dir.layer()),
            _ => None,
        };
        let was = node.state.read().real;
        self.arrive(node, Anchor::Index(indexed), real, data);
        self.keep_copy(node, file);
        if let Some(layer) = below {
            self.find_names(layer, was.ino)?;
        }
        let places = node.state.read().places.clone();
        for place in places {
            match self.link_up(node, &place) {
                // The index still has the file; the name is missing only to readers without the index.
                Err(error @ (Errno::MLINK | Errno::NOSPC | Errno::DQUOT)) => {
                    tracing::debug!(name = ?place.name, %error, "this name of a copied-up file is in the index only");
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Links a file of the index at `place` in the upper layer, a name that it has in a lower layer.
    pub(super) fn link_up(&self, node: &Arc<Node>, place: &Place) -> Result<()> {
        let Some(indexed) = node.state.read().indexed().cloned() else { return Ok(()) };
        let dir = self.upper_dir(&place.parent)?;
        let parent_state = place.parent.state.write();
        let is_there = |p: &Place| Arc::ptr_eq(&p.parent, &place.parent) && p.name == place.name;
        if !node.state.read().places.iter().any(is_there) {
            return Ok(());
        }
        let copy = self.index()?.dir()?;
        whiteout::keep_plain(Of::Name(&copy, indexed.name.as_name()), place.name.as_name(), self.stack.namespace)?;
        let linked = quietly(&dir, || match self.index()?.link_up(&indexed, &dir, place.name.as_name()) {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        });
        drop(parent_state);
        linked
    }

    /// Looks up all names that the file with this inode has in a layer: this adds them to the places of its node.
    /// Hidden names fail the lookup and are skipped. A name in a renamed directory is added when a program looks it up.
    fn find_names(&self, layer: usize, inode: u64) -> Result<()> {
        for path in self.names_in(layer)?.of(inode) {
            if let Err(error) = self.walk(&path) {
                tracing::trace!(?path, %error, "the union does not show this name");
            }
        }
        Ok(())
    }

    /// The names of the hard-linked files of one layer. Finding them reads the whole table of contents or walks the
    /// layer, so the results of the last layers are cached: a `chown -R` needs them for file after file.
    fn names_in(&self, layer: usize) -> Result<Arc<LinkedNames>> {
        if let Some(names) = self.names.lock().get(&layer) {
            return Ok(names.clone());
        }
        let names = Arc::new(self.stack.lower.get(layer).ok_or(Errno::IO)?.linked_names()?);
        self.names.lock().put(layer, names.clone());
        Ok(names)
    }

    /// Looks up what the union shows at `path`, step by step.
    fn walk(&self, path: &Path) -> Result<()> {
        let mut here: Option<Used<'_>> = None;
        for step in path {
            let dir = here.as_ref().map_or(NodeId::ROOT, |used| used.node.id);
            here = Some(self.used(dir, Name::new(step)?)?);
        }
        Ok(())
    }
}
