//! Reading directories: the entries of all layers, merged.
//!
//! An entry's offset is a hash of its name. A reader that continues after names were added or removed therefore gets no
//! name twice and misses no name that was there all the time, even if the listing was built again.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::Ordering;

use crate::layer::{LayerDir, LayerRange, Part, Resolution, Verdict, each_part};
use crate::sys::{DirEntry, Errno, Kind, Name, NameBuf, Result};

use super::Union;
use super::node::{DirContent, Node, NodeId, Real};

/// The offsets of `.` and `..`; all other offsets are greater.
const DOT: u64 = 1;
const DOT_DOT: u64 = 2;
/// The most entries that one call of [`Union::read_dir`] returns, besides `.` and `..`. A batch with fewer is the last.
pub const DIR_BATCH: usize = 512;

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirItem {
    /// The `offset` to pass to [`Union::read_dir`] to continue after this entry.
    pub offset: u64,
    /// The node.
    pub id: NodeId,
    /// What kind of file it is.
    pub kind: Kind,
    /// `None` for `.` and `..`, which [`DirItem::name`] tells apart by their offsets.
    name: Option<NameBuf>,
    range: LayerRange,
}

impl DirItem {
    /// The entry's name.
    pub fn name(&self) -> &std::ffi::OsStr {
        match &self.name {
            Some(name) => name.as_os_str(),
            None => std::ffi::OsStr::new(if self.offset == DOT { "." } else { ".." }),
        }
    }

    /// The entry's name, unless it is `.` or `..`.
    pub fn entry_name(&self) -> Option<Name<'_>> {
        self.name.as_ref().map(NameBuf::as_name)
    }

    /// The lower directories that have the entry.
    pub(super) fn range(&self) -> LayerRange {
        self.range
    }
}

/// The names of a directory while it is being read, by offset.
#[derive(Debug, Default)]
pub(super) struct Listing(BTreeMap<u64, Listed>);

#[derive(Debug)]
struct Listed {
    name: NameBuf,
    kind: Kind,
    id: NodeId,
    /// Stays valid whatever happens in the upper layer, since lower layers never change.
    range: LayerRange,
}

impl Listing {
    /// Adds a name that is not listed yet.
    fn add(&mut self, new: Listed) {
        let mut offset = offset_of(new.name.as_name());
        while self.0.contains_key(&offset) {
            offset += 1;
        }
        self.0.insert(offset, new);
    }

    fn insert(&mut self, new: Listed) {
        self.remove(new.name.as_name());
        self.add(new);
    }

    /// The offset of a name.
    fn find(&self, name: Name<'_>) -> Option<u64> {
        let from = offset_of(name);
        let near = self.0.range(from..).enumerate();
        near.take_while(|(behind, (offset, _))| **offset == from + *behind as u64)
            .find_map(|(_, (offset, listed))| (listed.name.as_name() == name).then_some(*offset))
    }

    fn remove(&mut self, name: Name<'_>) {
        if let Some(offset) = self.find(name) {
            self.0.remove(&offset);
        }
    }

    /// Notes that lower directory `which` also has a name that is listed already.
    fn note_also_in(&mut self, name: Name<'_>, which: u32) {
        if let Some(listed) = self.find(name).and_then(|offset| self.0.get_mut(&offset)) {
            listed.range = listed.range.and(which);
        }
    }
}

fn offset_of(name: Name<'_>) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    name.hash(&mut hasher);
    // Positive as an off_t, above the offsets of `.` and `..`, with room for collisions at the end.
    (hasher.finish() >> 2) | (1 << 8)
}

impl Union {
    /// The next batch of entries after `offset` (0: from the start); empty at the end.
    ///
    /// # Errors
    /// Errors of the layers' system calls; `ENOTDIR` for any other node.
    pub fn read_dir(&self, dir: NodeId, offset: u64) -> Result<Vec<DirItem>> {
        let node = self.dir_node(dir)?;
        let mut items = Vec::new();
        if offset < DOT {
            items.push(DirItem {
                offset: DOT,
                id: node.id,
                kind: Kind::Directory,
                name: None,
                range: LayerRange::NONE,
            });
        }
        if offset < DOT_DOT {
            let id = self.parent(dir)?;
            items.push(DirItem { offset: DOT_DOT, id, kind: Kind::Directory, name: None, range: LayerRange::NONE });
        }
        let (state, upper) = self.read_dir_state(&node)?;
        let content = state.dir().ok_or(Errno::NOTDIR)?;
        let mut listing = node.listing.lock();
        // A reader at the start gets the directory as it is now.
        if offset == 0 || listing.is_none() {
            *listing = Some(Box::new(self.list(upper.as_deref(), content)?));
        }
        let entries = listing.iter().flat_map(|l| l.0.range(offset.max(DOT_DOT) + 1..)).take(DIR_BATCH);
        items.extend(entries.map(|(&offset, &Listed { ref name, kind, id, range })| DirItem {
            offset,
            id,
            kind,
            name: Some(name.clone()),
            range,
        }));
        if items.is_empty() {
            *listing = None;
        }
        Ok(items)
    }

    /// Whether the kernel knows an entry of `dir` by a lookup of its name.
    pub fn is_known(&self, dir: NodeId, item: &DirItem) -> bool {
        let node = item.entry_name().and_then(|name| Some((self.table.peek(item.id)?, name)));
        node.is_some_and(|(node, name)| {
            node.state.read().places.iter().any(|place| place.parent.id == dir && place.name.as_name() == name)
        })
    }

    /// The whiteouts in the upper part of a directory that shows no entry.
    ///
    /// # Errors
    /// `ENOTEMPTY` if it shows one; errors of the layers' system calls.
    pub(super) fn whiteouts_alone(&self, upper: Option<&LayerDir>, content: &DirContent) -> Result<Vec<NameBuf>> {
        let mut whiteouts = Vec::new();
        let listed = upper.map(|upper| Ok((upper, upper.list()?))).transpose()?;
        each_part(self, listed, &content.lower, |part| {
            if !part.entries.is_empty() {
                return Err(Errno::NOTEMPTY);
            }
            if part.which.is_none() {
                whiteouts = part.gone.to_vec();
            }
            Ok(())
        })?;
        Ok(whiteouts)
    }

    fn list(&self, upper: Option<&LayerDir>, content: &DirContent) -> Result<Listing> {
        let mut listing = Listing::default();
        let mixed = content.impure.load(Ordering::Relaxed) || !content.lower.is_empty();
        let listed = upper.map(|upper| Ok((upper, upper.list()?))).transpose()?;
        each_part(self, listed, &content.lower, |part| {
            let dev = part.dev()?;
            for entry in &part.entries {
                let real = Real { dev, ino: entry.ino };
                let id = match (part.which, upper) {
                    (None, Some(upper)) if mixed => self.number_in_upper(upper, content, entry, real),
                    _ => Some(self.table.id_of(real)),
                };
                // The entry was removed after it was listed.
                let Some(id) = id else { continue };
                let kind = part.shown_kind(entry, self.stack.owners)?;
                let range = part.which.map_or(LayerRange::NONE, LayerRange::from);
                listing.add(Listed { name: entry.name.clone(), kind, id, range });
            }
            if let Some(which) = part.which {
                part.hidden.iter().for_each(|entry| listing.note_also_in(entry.name.as_name(), which));
            }
            Ok(())
        })?;
        Ok(listing)
    }

    /// The number of an entry of the upper layer that may come from a lower layer. An entry that cannot be resolved is
    /// listed with the number of its upper file; `None` for one that is gone.
    fn number_in_upper(&self, upper: &LayerDir, content: &DirContent, entry: &DirEntry, real: Real) -> Option<NodeId> {
        let name = entry.name.as_name();
        let found = match entry.kind {
            Kind::Directory => self.lookup_in(Some(upper), content, name).map(|resolved| resolved.is),
            _ => upper.lookup(name).map(|verdict| match verdict {
                Verdict::Entry(found) => Resolution::Leaf(Part::Upper, found),
                Verdict::Nothing | Verdict::Whiteout => Resolution::Missing,
            }),
        };
        found.map_or_else(|_| Some(self.table.id_of(real)), |found| self.identify(&found))
    }
}

impl Node {
    /// Adds `name` to the listing that is being read, if there is one.
    pub(super) fn listing_add(&self, name: Name<'_>, kind: Kind, id: NodeId) {
        if let Some(listing) = &mut *self.listing.lock() {
            listing.insert(Listed { name: name.to_owned(), kind, id, range: LayerRange::ALL });
        }
    }

    /// Removes `name` from the listing that is being read, if there is one.
    pub(super) fn listing_remove(&self, name: Name<'_>) {
        if let Some(listing) = &mut *self.listing.lock() {
            listing.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &NameBuf, kind: Kind) -> Listed {
        Listed { name: name.clone(), kind, id: NodeId(2), range: LayerRange::ALL }
    }

    fn all(listing: &Listing) -> Vec<(u64, NameBuf)> {
        listing.0.iter().map(|(&offset, listed)| (offset, listed.name.clone())).collect()
    }

    #[test]
    fn names_come_and_go_without_moving_the_others() {
        let names: Vec<NameBuf> = (0..1000).map(|i| NameBuf::new(format!("name{i}")).unwrap()).collect();
        let mut listing = Listing::default();
        for name in &names {
            listing.insert(listed(name, Kind::Regular));
        }
        let before = all(&listing);
        for name in names.iter().step_by(2) {
            listing.remove(name.as_name());
        }
        assert_eq!(listing.0.len(), 500);
        assert!(all(&listing).iter().all(|item| before.contains(item)));
        for name in names.iter().step_by(2) {
            listing.insert(listed(name, Kind::Regular));
        }
        assert_eq!(before, all(&listing));
    }

    #[test]
    fn a_name_is_listed_once_when_a_directory_takes_the_place_of_a_file() {
        let name = NameBuf::new("name").unwrap();
        let mut listing = Listing::default();
        for kind in [Kind::Regular, Kind::Directory, Kind::Symlink] {
            listing.insert(listed(&name, kind));
            assert_eq!(listing.0.values().map(|listed| listed.kind).collect::<Vec<_>>(), [kind]);
        }
        listing.remove(name.as_name());
        assert!(listing.0.is_empty());
    }
}
