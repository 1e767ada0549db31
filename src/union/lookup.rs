//! Lookup: from a name in a directory to a node.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::layer::{self, Among, Found, LayerDir, LowerDirs, LowerFile, Part, Resolution};
use crate::sys::xattr::Of;
use crate::sys::{Errno, Kind, Name, Result, Stat};

use super::node::{
    Anchor, Content, DataBelow, DirContent, LowerContent, Node, NodeId, Place, Places, Real, State, UpperContent,
    UpperPart, adjust,
};
use super::table::Table;
use super::{Attr, DirItem, Union};

pub(super) use crate::layer::Look as Sight;

/// A node that was looked up, until it is dropped.
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
    /// What a layer answers; `EIO` where a redirect leads to nothing.
    pub fn lookup(&self, dir: NodeId, name: Name<'_>) -> Result<Option<Attr>> {
        self.lookup_among(dir, name, Among::ALL)
    }

    /// As [`lookup`](Self::lookup), of what was just listed in `dir`; the dots are nothing.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn lookup_listed(&self, dir: NodeId, item: &DirItem) -> Result<Option<Attr>> {
        item.entry_name().map_or(Ok(None), |name| self.lookup_among(dir, name, item.among()))
    }

    fn lookup_among(&self, dir: NodeId, name: Name<'_>, among: Among) -> Result<Option<Attr>> {
        let dir = self.dir_node(dir)?;
        let (state, upper) = self.read_dir_state(&dir)?;
        let content = state.dir().ok_or(Errno::NOTDIR)?;
        let sight = self.look_among(upper.as_deref(), (content, among), name)?;
        let found = self.intern((&dir, content), upper.as_deref(), name, &sight)?;
        Ok(found.map(|(node, stat)| Attr { id: node.id, stat }))
    }

    /// As [`lookup`](Self::lookup), of a name that is there, until the answer is dropped.
    pub(super) fn used(&self, dir: NodeId, name: Name<'_>) -> Result<Used<'_>> {
        let id = self.lookup(dir, name)?.ok_or(Errno::NOENT)?.id;
        Ok(Used { table: &self.table, node: self.node(id)? })
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

    /// What the layers of a directory say of `name`: `upper`, if given, and then those below.
    pub(super) fn look(&self, upper: Option<&LayerDir>, content: &DirContent, name: Name<'_>) -> Result<Sight> {
        self.look_among(upper, (content, Among::ALL), name)
    }

    fn look_among(
        &self,
        upper: Option<&LayerDir>,
        (content, among): (&DirContent, Among),
        name: Name<'_>,
    ) -> Result<Sight> {
        layer::look_among(self, upper, (&content.lower, among), name)
    }

    /// Where the data of a metadata-only file is.
    fn data_below(&self, content: &DirContent, name: Name<'_>, sight: &Sight) -> Option<Box<DataBelow>> {
        let (file, stat) = sight.data.as_ref()?;
        let path = self.path_below(content, name, &sight.is);
        Some(Box::new(DataBelow { file: file.clone(), path, blocks: stat.blocks }))
    }

    /// By which path the layers below together know what a directory shows of them as `name`.
    fn path_below(&self, content: &DirContent, name: Name<'_>, found: &Resolution<Part>) -> Box<Path> {
        let natural = content.path.join(name.as_os_str());
        match found.top() {
            Some((Part::Upper, Found { redirect: Some(redirect), .. })) => redirect.from(&natural).into(),
            _ => natural.into(),
        }
    }

    /// The node of what was found, with one more use, and what users see of it. The caller holds the
    /// directory's state, so that no copy-up comes between finding and this.
    pub(super) fn intern(
        &self,
        (parent, content): (&Arc<Node>, &DirContent),
        upper: Option<&LayerDir>,
        name: Name<'_>,
        sight: &Sight,
    ) -> Result<Option<(Arc<Node>, Stat)>> {
        let Some((top, found)) = sight.is.top() else { return Ok(None) };
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
        let merges = matches!(&sight.is, Resolution::Dir(parts) if parts.len() > 1);
        adjust(
            &mut stat,
            merges,
            self.indexed(top, found).as_deref(),
            sight.data.as_ref().map(|(_, data)| data.blocks),
        );
        let real = Real::of(&found.stat);
        let id = self.identify(&sight.is).ok_or(Errno::IO)?;
        let node = self.table.intern(id, real, |id| {
            // A file of a layer shares its name with its place.
            let name_of = |file: &LowerFile| (file.name.as_name() == name).then(|| file.name.clone());
            let shared = if let Part::Lower(file) = top { name_of(file) } else { None };
            let place = Place { parent: parent.clone(), name: shared.unwrap_or_else(|| name.to_owned()) };
            let node =
                Node::new(id, stat.kind, real, Places::from_iter([place]), self.content_of(content, name, sight));
            node.set_protection(found.protection);
            if found.bare && matches!(top, Part::Lower(_)) {
                node.note_bare();
            }
            node
        });
        self.note_place(&node, parent, name);
        Ok(Some((node, stat)))
    }

    /// The number of what was found. A merged directory has that of its topmost lower part, before and
    /// after the upper layer has it too; a file that was copied up, that of its origin.
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

    /// The entry of the index of a file that was found there, or is a further name of one.
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

    pub(super) fn content_of(&self, parent: &DirContent, name: Name<'_>, sight: &Sight) -> Content {
        let upper = |at| Content::Upper(UpperContent { at, data: self.data_below(parent, name, sight) });
        match &sight.is {
            Resolution::Leaf(Part::Lower(file), _) => {
                Content::Lower(LowerContent { file: file.clone(), data: self.data_below(parent, name, sight) })
            }
            Resolution::Leaf(part, found) => upper(self.indexed(part, found).map_or(Anchor::Place, Anchor::Index)),
            Resolution::Missing => upper(Anchor::Place),
            Resolution::Dir(parts) => {
                let above = parts.first().filter(|(part, _)| matches!(part, Part::Upper)).map(|(_, found)| found);
                let path: Arc<Path> = self.path_below(parent, name, &sight.is).into();
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
