//! Lookup: from a name in a directory to a node.

use std::path::Path;
use std::sync::Arc;

use crate::layer::{self, Found, Resolution, resolve};
use crate::sys::xattr::Of;
use crate::sys::{Dir, Errno, Kind, Name, Result, Stat};

use super::node::{Content, DirContent, LowerDir, Node, NodeId, Place, Real, State, UpperPart};
use super::{Attr, Union};

/// Where one layer has an entry: in the upper directory, or in this lower one.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Upper,
    Lower(Arc<LowerDir>),
}

impl Union {
    /// The entry `name` of directory `dir`, if there is one; counts one lookup of its node.
    ///
    /// # Errors
    /// What a layer answers.
    pub fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<Attr>> {
        let dir = self.dir_node(dir)?;
        let (state, upper) = self.read_dir_state(&dir)?;
        let content = state.dir().ok_or(Errno::NOTDIR)?;
        let resolution = self.look(upper.as_deref(), &content.lower, name)?;
        let found = self.intern(&dir, upper.as_deref(), name, resolution)?;
        Ok(found.map(|(node, stat)| Attr { id: node.id, stat }))
    }

    /// The parent of a directory; the root is its own.
    ///
    /// # Errors
    /// `ESTALE` for an unknown node.
    pub fn parent(&self, dir: NodeId) -> Result<NodeId> {
        let node = self.dir_node(dir)?;
        let state = node.state.read();
        Ok(state.places.first().map_or(NodeId::ROOT, |place| place.parent.id))
    }

    /// What the layers of a directory say of `name`: `upper` first, then `lower`.
    pub(super) fn look(
        &self,
        upper: Option<&Dir>,
        lower: &[Arc<LowerDir>],
        name: Name<'_>,
    ) -> Result<Resolution<Part>> {
        let above = upper.into_iter().map(|dir| Ok((Part::Upper, layer::see(dir, name)?)));
        let below = lower.iter().map(|dir| {
            let seen = layer::see(&*self.lower_fd(dir)?, name)?;
            Ok((Part::Lower(dir.clone()), seen))
        });
        resolve(above.chain(below))
    }

    /// The node of what was found, with one more use, and what users see of it. The caller holds the
    /// directory's state, so that no copy-up comes between finding and this.
    pub(super) fn intern(
        &self,
        parent: &Arc<Node>,
        upper: Option<&Dir>,
        name: Name<'_>,
        resolution: Resolution<Part>,
    ) -> Result<Option<(Arc<Node>, Stat)>> {
        let merged = matches!(&resolution, Resolution::Dir(parts) if parts.len() > 1);
        let Some((top, found)) = top_of(&resolution) else { return Ok(None) };
        let stat = match top {
            Part::Upper => self.shown(Of::Name(upper.ok_or(Errno::IO)?, name), found.stat)?,
            Part::Lower(dir) => self.shown(Of::Name(&*self.lower_fd(dir)?, name), found.stat)?,
        };
        let real = real_of(found);
        let id = self.identify(parent.id, name, &resolution).ok_or(Errno::IO)?;
        let node = self.table.intern(id, real, |id| {
            let place = Place { parent: parent.clone(), name: name.to_owned() };
            let content = self.content_of(name, &resolution);
            Node::new(id, stat.kind, State { places: vec![place], real, content })
        });
        self.note_place(&node, parent, name);
        // find(1) takes a count of 1 to mean that the count says nothing of subdirectories.
        let stat = if merged { Stat { nlink: 1, ..stat } } else { stat };
        Ok(Some((node, stat)))
    }

    /// The number of what was found. A merged directory has that of its topmost lower part, before and
    /// after the upper layer has it too.
    pub(super) fn identify(&self, parent: NodeId, name: Name<'_>, found: &Resolution<Part>) -> Option<NodeId> {
        match found {
            Resolution::Missing => None,
            Resolution::Leaf(Part::Lower(_), found) if found.stat.nlink > 1 && !self.is_read_only() => {
                Some(self.table.id_of_name(parent, name, real_of(found)))
            }
            Resolution::Leaf(_, found) => Some(self.table.id_of(real_of(found))),
            Resolution::Dir(parts) => {
                let lower = parts.iter().find(|(part, _)| matches!(part, Part::Lower(_)));
                lower.or(parts.first()).map(|(_, found)| self.table.id_of(real_of(found)))
            }
        }
    }

    pub(super) fn content_of(&self, name: Name<'_>, resolution: &Resolution<Part>) -> Content {
        match resolution {
            Resolution::Leaf(Part::Lower(dir), _) => Content::Lower { dir: dir.clone(), name: name.to_owned() },
            Resolution::Leaf(Part::Upper, _) | Resolution::Missing => Content::Upper,
            Resolution::Dir(parts) => {
                let mut content = DirContent { upper: UpperPart::None, lower: Vec::new(), inherit: None };
                for (part, _) in parts {
                    match part {
                        Part::Upper => content.upper = UpperPart::Here,
                        Part::Lower(dir) => content.lower.push(Arc::new(self.lower_child(dir, name))),
                    }
                }
                Content::Dir(content)
            }
        }
    }

    fn lower_child(&self, dir: &LowerDir, name: Name<'_>) -> LowerDir {
        let path = if &*dir.path == Path::new(".") { name.as_os_str().into() } else { dir.path.join(name.as_os_str()) };
        self.lower_dir(dir.layer, path)
    }

    /// A file with several names is known by each under which it was found.
    fn note_place(&self, node: &Arc<Node>, parent: &Arc<Node>, name: Name<'_>) {
        let known =
            |state: &State| state.places.iter().any(|p| Arc::ptr_eq(&p.parent, parent) && p.name.as_name() == name);
        if known(&node.state.read()) || node.kind == Kind::Directory {
            return;
        }
        let mut state = node.state.write();
        if !known(&state) {
            state.places.push(Place { parent: parent.clone(), name: name.to_owned() });
            drop(state);
            self.table.hold(parent);
        }
    }
}

pub(super) fn real_of(found: &Found) -> Real {
    Real { dev: found.stat.dev, ino: found.stat.ino }
}

fn top_of(resolution: &Resolution<Part>) -> Option<(&Part, &Found)> {
    match resolution {
        Resolution::Missing => None,
        Resolution::Leaf(part, found) => Some((part, found)),
        Resolution::Dir(parts) => parts.first().map(|(part, found)| (part, found)),
    }
}
