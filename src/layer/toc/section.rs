//! Reads one directory of a layer from the layer's table of contents.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use crate::layer::whiteout::Listed;
use crate::layer::{Found, Protection, Verdict};
use crate::sys::{DirEntry, Kind, Name, Stat};

use super::format::{ENTRY, Entry, Flags, Row, Shown};
use super::{OF_ROOT, Toc};

/// Bytes of a [`Shown`].
const SHOWN: usize = 20;

/// One directory in a table, whose section was checked.
#[derive(Clone, Debug)]
pub struct Section {
    toc: Arc<Toc>,
    number: u32,
}

/// What the table says of one file or directory.
#[derive(Clone, Debug)]
pub struct Record {
    /// The entry. It carries no marks except opaque and protection.
    pub found: Found,
    /// The attributes that users see, before a mount maps ids.
    pub shown: Stat,
    /// Whether it has extended attributes that programs see.
    pub has_xattrs: bool,
    /// Whether the layer's file system supports ACLs.
    pub has_acls: bool,
    section: Section,
    entry: Entry,
}

/// The section that a table has for an entry.
#[derive(Clone, Debug)]
pub enum Child {
    /// The entry is no directory, or a directory without a section.
    None,
    /// The directory could not be read when the table was written.
    Unknown,
    /// The section is damaged.
    Damaged,
    /// The directory's section.
    Section(Section),
}

impl Section {
    pub(super) fn new(toc: &Arc<Toc>, number: u32) -> Option<Section> {
        toc.section(number)?;
        Some(Section { toc: toc.clone(), number })
    }

    /// A section that was checked before.
    pub(crate) fn checked(toc: &Arc<Toc>, number: u32) -> Section {
        Section { toc: toc.clone(), number }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    fn view(&self) -> Option<View> {
        let (bytes, row) = self.toc.section(self.number)?;
        View::of(bytes, row)
    }

    /// Calls `act` with each name that the directory has or hides, in byte order; `None` if the directory itself must
    /// be read.
    pub fn each_name(&self, mut act: impl FnMut(&[u8])) -> Option<()> {
        let view = self.view()?;
        (0..view.count).try_for_each(|place| view.name(&view.entry(place)?).map(&mut act))
    }

    /// Calls `act` with each entry that is no whiteout and its attributes on disk; `None` if the directory itself must
    /// be read.
    pub fn each_entry(&self, mut act: impl FnMut(Name<'_>, &Stat, Child)) -> Option<()> {
        let view = self.view()?;
        for place in 0..view.count {
            let entry = view.entry(place)?;
            if entry.flags.has(Flags::WHITEOUT) {
                continue;
            }
            let child = match entry.section {
                None => Child::None,
                Some(section) if self.toc.row(section).is_some_and(|row| row.unknown) => Child::Unknown,
                Some(section) => Section::new(&self.toc, section).map_or(Child::Damaged, Child::Section),
            };
            act(Name::new(OsStr::from_bytes(view.name(&entry)?)).ok()?, &entry.stat, child);
        }
        Some(())
    }

    /// What the layer says of `name`; `None` if the directory itself must be read.
    pub fn lookup(&self, name: Name<'_>) -> Option<Verdict> {
        let view = self.view()?;
        let Some((_, entry)) = view.find(name.as_bytes()) else { return Some(Verdict::Nothing) };
        match entry.flags {
            flags if flags.has(Flags::ASK) => None,
            flags if flags.has(Flags::WHITEOUT) => Some(Verdict::Whiteout),
            _ => self.record_of(&view, entry).map(|record| Verdict::Entry(record.found)),
        }
    }

    /// What the table says of the entry `name`; `None` if there is none or the directory itself must be read.
    pub fn record(&self, name: Name<'_>) -> Option<Record> {
        let view = self.view()?;
        let (_, entry) = view.find(name.as_bytes())?;
        self.record_of(&view, entry)
    }

    /// What the table says of the directory itself.
    pub fn own_record(&self) -> Option<Record> {
        let row = self.toc.row(self.number)?;
        let above = Section { toc: self.toc.clone(), number: row.parent };
        let view = above.view()?;
        above.record_of(&view, view.entry(row.place as usize)?)
    }

    fn record_of(&self, view: &View, entry: Entry) -> Option<Record> {
        if entry.flags.has(Flags::ASK) || entry.flags.has(Flags::WHITEOUT) {
            return None;
        }
        let stat = Stat { dev: self.toc.dev, ..entry.stat };
        let shown = view.shown(&entry);
        let protection = Protection { immutable: stat.immutable, append_only: stat.append_only };
        let opaque = entry.flags.has(Flags::OPAQUE);
        Some(Record {
            found: Found { opaque, protection, ..Found::plain(stat) },
            shown: shown.map_or(stat, |shown| shown.over(stat)),
            has_xattrs: entry.flags.has(Flags::XATTRS),
            has_acls: self.toc.header.has_acls,
            section: self.clone(),
            entry,
        })
    }

    /// The directory `name` in this one; `None` if there is none or the directory itself must be read.
    pub fn child(&self, name: &OsStr) -> Option<Section> {
        let (_, entry) = self.view()?.find(name.as_bytes())?;
        Section::new(&self.toc, entry.section?)
    }

    /// The entries of the directory and the names that it says are gone; `None` if the directory itself must be read.
    pub fn list(&self) -> Option<Listed> {
        let view = self.view()?;
        let mut listed = Listed { entries: Vec::with_capacity(view.count), gone: Vec::new() };
        for place in 0..view.count {
            let entry = view.entry(place)?;
            let name = Name::new(OsStr::from_bytes(view.name(&entry)?)).ok()?.to_owned();
            if entry.flags.has(Flags::WHITEOUT) {
                listed.gone.push(name);
                continue;
            }
            let kind = view.shown(&entry).map_or(entry.stat.kind, |shown| shown.kind);
            listed.entries.push(DirEntry { name, ino: entry.stat.ino, kind });
        }
        Some(listed)
    }

    #[cfg(test)]
    pub(super) fn row(&self) -> super::format::Row {
        self.toc.row(self.number).unwrap()
    }

    /// The device number of the layer's file system.
    pub fn dev(&self) -> u64 {
        self.toc.dev
    }
}

impl Record {
    /// Whether the file has no extended attribute that programs see.
    pub fn is_bare(&self) -> bool {
        !self.has_xattrs
    }

    /// Whether the file certainly has no attribute `key`, so that the file system need not be asked. Only true for keys
    /// that file systems store; for others the file system may return another error.
    pub fn lacks(&self, key: &OsStr) -> bool {
        let begins = |prefix: &[u8]| key.as_bytes().strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
        let acl = key == "system.posix_acl_access" || key == "system.posix_acl_default";
        let is_acl = acl && self.has_acls && self.entry.stat.kind != Kind::Symlink;
        let is_kept = is_acl || [&b"user."[..], b"security.", b"trusted."].into_iter().any(begins);
        !self.has_xattrs && is_kept
    }

    /// The target, if this is a symbolic link.
    pub fn target(&self) -> Option<OsString> {
        let view = self.section.view()?;
        let target = view.target(&self.entry)?;
        (self.entry.stat.kind == Kind::Symlink).then(|| OsStr::from_bytes(target).to_owned())
    }
}

/// The bytes of a section. Every access is checked, so any bytes are safe.
struct View {
    bytes: Arc<[u8]>,
    /// Offset of the text, which follows the entries.
    text_at: usize,
    count: usize,
}

impl View {
    fn of(bytes: Arc<[u8]>, row: Row) -> Option<View> {
        let count = row.entries as usize;
        let text_at = count.checked_mul(ENTRY).filter(|at| *at <= bytes.len())?;
        Some(View { bytes, text_at, count })
    }

    fn text(&self) -> Option<&[u8]> {
        self.bytes.get(self.text_at..)
    }

    fn entry(&self, place: usize) -> Option<Entry> {
        let at = place.checked_mul(ENTRY)?;
        let end = at.checked_add(ENTRY).filter(|end| *end <= self.text_at)?;
        Entry::parse(self.bytes.get(at..end)?)
    }

    fn name(&self, entry: &Entry) -> Option<&[u8]> {
        self.text()?.get(entry.name_at as usize..)?.get(..usize::from(entry.name_len))
    }

    fn target(&self, entry: &Entry) -> Option<&[u8]> {
        let behind = entry.name_at as usize + usize::from(entry.name_len);
        self.text()?.get(behind..)?.get(..usize::from(entry.target_len))
    }

    fn shown(&self, entry: &Entry) -> Option<Shown> {
        if !entry.flags.has(Flags::SHOWN) {
            return None;
        }
        let behind = entry.name_at as usize + usize::from(entry.name_len) + usize::from(entry.target_len);
        Shown::parse(self.text()?.get(behind..)?.get(..SHOWN)?)
    }

    /// The entry called `name`, and its position.
    fn find(&self, name: &[u8]) -> Option<(usize, Entry)> {
        let (mut from, mut to) = (0, self.count);
        while from < to {
            let middle = from + (to - from) / 2;
            let entry = self.entry(middle)?;
            match self.name(&entry)?.cmp(name) {
                std::cmp::Ordering::Less => from = middle + 1,
                std::cmp::Ordering::Greater => to = middle,
                std::cmp::Ordering::Equal => return Some((middle, entry)),
            }
        }
        None
    }
}

/// Whether a section is consistent. A correct checksum does not prove that: anybody can make one.
pub(super) fn is_sound(toc: &Toc, number: u32, row: Row, bytes: &Arc<[u8]>) -> bool {
    let sound = || {
        // A parent has a lower number than its child, so that no walk through the table can run in a circle.
        if number != OF_ROOT && row.parent >= number {
            return None;
        }
        let view = View::of(bytes.clone(), row)?;
        let mut last: &[u8] = b"";
        for place in 0..view.count {
            let entry = view.entry(place)?;
            let name = Name::new(OsStr::from_bytes(view.name(&entry)?)).ok()?;
            view.target(&entry)?;
            if entry.flags.has(Flags::SHOWN) {
                view.shown(&entry)?;
            }
            let below = entry.section.is_none_or(|section| {
                let row = toc.row(section);
                let is_of = row.is_some_and(|row| row.parent == number && row.place as usize == place);
                section > number && is_of && entry.stat.kind == Kind::Directory
            });
            if !below || name.as_bytes() <= last {
                return None;
            }
            last = name.as_bytes();
        }
        Some(())
    };
    sound().is_some()
}
