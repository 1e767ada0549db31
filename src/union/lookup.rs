//! Lookup: finds the node of a name in a directory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::layer::{self, Found, LayerDir, LayerRange, LowerDirs, LowerFile, Part, Resolution};
use crate::sys::xattr::Of;
use crate::sys::{Errno, Kind, Name, Result, Stat};

use super::node::{
    Anchor, Content, DataBelow, DirContent, LowerContent, Node, NodeId, Place, Places, Real, State, UpperContent,
    UpperPart, adjust,
};
use super::table::Table;
use super::{Attr, DirItem, Union};

pub(super) use crate::layer::Resolved;

/// A node that was looked up; dropping this gives the lookup back.
pub(super) struct Used<'a> {
    table: &'a Table,
    pub(super) node: Arc<Node>,
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        self.table.release(self.node.id, 1);
    }
}

impl Union {
    /// The entry `name` of directory `dir`, if there is one; counts one lookup of its node.
    ///
    /// # Errors
    /// Errors of the layers' system calls; `EIO` for a redirect to a missing entry.
    pub fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<Attr>> {
        self.lookup_node(dir, name, LayerRange::ALL)
    }

    /// As [`lookup`](Self::lookup), for an entry that was just listed in `dir`; `None` for `.` and `..`.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn lookup_listed(&self, dir: NodeId, item: &DirItem) -> Result<Option<Attr>> {
        item.entry_name().map_or(Ok(None), |name| self.lookup_node(dir, name, item.range()))
    }

    fn lookup_node(&self, dir: NodeId, name: Name<'_>, range: LayerRange) -> Result<Option<Attr>> {
        let dir = self.dir_node(dir)?;
        let (state, upper) = self.read_dir_state(&dir)?;
        let content = state.dir().ok_or(Errno::NOTDIR)?;
        let resolved = self.lookup_in_range(upper.as_deref(), (content, range), name)?;
        let found = self.intern((&dir, content), upper.as_deref(), name, &resolved)?;
        Ok(found.map(|(node, stat)| Attr { id: node.id, stat }))
    }

    /// As [`lookup`](Self::lookup); `ENOENT` for a missing name. Dropping the result gives the lookup back.
    pub(super) fn used(&self, dir: NodeId, name: Name<'_>) -> Result<Used<'_>> {
        let id = self.lookup(dir, name)?.ok_or(Errno::NOENT)?.id;
        Ok(Used { table: &self.table, node: self.node(id)? })
    }

    /// The parent of a directory; the root is its own parent.
    ///
    /// # Errors
    /// `ESTALE` for an unknown node; `ENOTDIR` for one that is not a directory.
    pub fn parent(&self, dir: NodeId) -> Result<NodeId> {
        let node = self.dir_node(dir)?;
        let state = node.state.read();
        Ok(state.places.first().map_or(NodeId::ROOT, |place| place.parent.id))
    }

    /// Resolves `name` in the layers of a directory: in `upper`, if given, then in the lower ones.
    pub(super) fn lookup_in(&self, upper: Option<&LayerDir>, content: &DirContent, name: Name<'_>) -> Result<Resolved> {
        self.lookup_in_range(upper, (content, LayerRange::ALL), name)
    }

    fn lookup_in_range(
        &self,
        upper: Option<&LayerDir>,
        (content, range): (&DirContent, LayerRange),
        name: Name<'_>,
    ) -> Result<Resolved> {
        layer::lookup_in_range(self, upper, (&content.lower, range), name)
    }

    /// The location of the data of a metadata-only file.
    fn data_below(&self, content: &DirContent, name: Name<'_>, resolved: &Resolved) -> Option<Box<DataBelow>> {
        let (file, stat) = resolved.data.as_ref()?;
        let path = self.path_below(content, name, &resolved.is);
        Some(Box::new(DataBelow { file: file.clone(), path, blocks: stat.blocks }))
    }

    /// The path in the lower layers of the entry that a directory shows as `name`; a redirect changes it.
    fn path_below(&self, content: &DirContent, name: Name<'_>, found: &Resolution<Part>) -> Box<Path> {
        let natural = content.path.join(name.as_os_str());
        match found.top() {
            Some((Part::Upper, Found { redirect: Some(redirect), .. })) => redirect.from(&natural).into(),
            _ => natural.into(),
        }
    }

    /// The node of a resolved name and the `stat` that users see; counts one use. The caller holds the directory's
    /// state, so that no copy-up comes between resolving and this call.
    pub(super) fn intern(
        &self,
        (parent, content): (&Arc<Node>, &DirContent),
        upper: Option<&LayerDir>,
        name: Name<'_>,
        resolved: &Resolved,
    ) -> Result<Option<(Arc<Node>, Stat)>> {
        let Some((top, found)) = resolved.is.top() else { return Ok(None) };
        let mut stat = match top {
            Part::Upper => {
                let of = Of::Name(upper.ok_or(Errno::IO)?, name);
                self.squashed(self.stack.owners.stat(of, found.stat)?)
            }
            Part::Lower(file) => match file.record() {
                Some(record) => self.squashed(record.shown),
                None => self.shown(&self.lower_at(file)?, found.stat)?,
            },
            Part::Index(indexed) => {
                let (dir, name) = (self.index()?.dir()?, indexed.name.as_name());
                self.squashed(self.stack.owners.stat(Of::Name(&dir, name), found.stat)?)
            }
        };
        let merges = matches!(&resolved.is, Resolution::Dir(parts) if parts.len() > 1);
        adjust(
            &mut stat,
            merges,
            self.indexed(top, found).as_deref(),
            resolved.data.as_ref().map(|(_, data)| data.blocks),
        );
        let real = Real::of(&found.stat);
        let id = self.identify(&resolved.is).ok_or(Errno::IO)?;
        let node = self.table.intern(id, real, |id| {
            // A lower file has its name in memory already: the place shares it.
            let name_of = |file: &LowerFile| (file.name.as_name() == name).then(|| file.name.clone());
            let shared = if let Part::Lower(file) = top { name_of(file) } else { None };
            let place = Place { parent: parent.clone(), name: shared.unwrap_or_else(|| name.to_owned()) };
            let node =
                Node::new(id, stat.kind, real, Places::from_iter([place]), self.content_of(content, name, resolved));
            node.set_protection(found.protection);
            if found.bare && matches!(top, Part::Lower(_)) {
                node.note_bare();
            }
            node
        });
        self.note_place(&node, parent, name);
        Ok(Some((node, stat)))
    }

    /// The inode number of an entry. A merged directory has the number of its topmost lower part, so copy-up does not
    /// change it. A copied-up file has the number of its origin.
    pub(super) fn identify(&self, found: &Resolution<Part>) -> Option<NodeId> {
        let of_upper = |found: &Found| {
            let real = Real::of(&found.stat);
            match found.origin {
                Some(origin) if found.stat.kind != Kind::Directory => self.table.id_of_copy(real, origin),
                _ => match self.indexed(&Part::Upper, found) {
                    Some(indexed) => NodeId(indexed.number),
                    None => self.table.id_of(real),
                },
            }
        };
        match found {
            Resolution::Missing => None,
            Resolution::Leaf(Part::Index(indexed), _) => Some(NodeId(indexed.number)),
            Resolution::Leaf(Part::Lower(_), found) => Some(self.table.id_of(Real::of(&found.stat))),
            Resolution::Leaf(Part::Upper, found) => Some(of_upper(found)),
            Resolution::Dir(parts) => {
                let lower = parts.iter().find(|(part, _)| matches!(part, Part::Lower(_)));
                lower.or(parts.first()).map(|(_, found)| self.table.id_of(Real::of(&found.stat)))
            }
        }
    }

    /// The index entry of a file that was found in the index or is another name of an indexed file.
    pub(super) fn indexed(&self, part: &Part, found: &Found) -> Option<Arc<layer::Indexed>> {
        match part {
            Part::Lower(_) => None,
            Part::Index(indexed) => Some(indexed.clone()),
            Part::Upper => {
                let several = found.stat.nlink > 1 && !found.is_dir();
                self.index.as_ref().filter(|_| several)?.of_inode(found.stat.ino)
            }
        }
    }

    pub(super) fn content_of(&self, parent: &DirContent, name: Name<'_>, resolved: &Resolved) -> Content {
        let upper = |at| Content::Upper(UpperContent { at, data: self.data_below(parent, name, resolved) });
        match &resolved.is {
            Resolution::Leaf(Part::Lower(file), _) => {
                Content::Lower(LowerContent { file: file.clone(), data: self.data_below(parent, name, resolved) })
            }
            Resolution::Leaf(part, found) => upper(self.indexed(part, found).map_or(Anchor::Place, Anchor::Index)),
            Resolution::Missing => upper(Anchor::Place),
            Resolution::Dir(parts) => {
                let above = parts.first().filter(|(part, _)| matches!(part, Part::Upper)).map(|(_, found)| found);
                let path: Arc<Path> = self.path_below(parent, name, &resolved.is).into();
                let lower = parts.iter().filter_map(|(part, _)| part.lower());
                Content::Dir(Box::new(DirContent {
                    upper: if above.is_some() { UpperPart::Here } else { UpperPart::None },
                    lower: LowerDirs::of(lower, &path),
                    path,
                    impure: AtomicBool::new(above.is_some_and(|found| found.impure)),
                    adopted: AtomicBool::new(false),
                    inherit: None,
                }))
            }
        }
    }

    /// Adds the name under which a file was found to the places of its node.
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
