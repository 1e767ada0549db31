//! The bytes of a table of contents: fixed records of little-endian integers, followed by text. Does no I/O.
//!
//! Parsing accepts any bytes and returns `None` for malformed ones.

use crate::sys::{Kind, Stat, Timestamp};

pub(super) const MAGIC: [u8; 8] = *b"overfidx";
/// The version of this format. Files of any other version are not read.
pub(super) const VERSION: u32 = 1;
/// Sizes of the records, in bytes.
pub(super) const HEADER: usize = 80;
pub(super) const ROW: usize = 32;
pub(super) const ENTRY: usize = 100;
/// Stands for a missing section number.
const NONE: u32 = u32::MAX;

/// The header of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Identifies the layer and the [`Viewer`](super::Viewer) that the table was made for.
    pub(super) identity: [u8; 32],
    /// Bytes of the whole file.
    pub(super) len: u64,
    /// Offset of the rows, which extend to the end of the file.
    pub(super) rows_at: u64,
    pub(super) rows: u32,
    pub(super) rows_crc: u32,
    /// Whether the layer's file system supports ACLs.
    pub(super) has_acls: bool,
}

/// Where one section, that is one directory, is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Row {
    pub(super) at: u64,
    /// Bytes of the section, entries and text.
    pub(super) len: u32,
    pub(super) entries: u32,
    pub(super) crc: u32,
    /// The section that has the directory's own entry, and the position of that entry in it.
    pub(super) parent: u32,
    pub(super) place: u32,
    /// The writer could not read the directory: a lookup must read the directory itself.
    pub(super) unknown: bool,
}

/// The attributes that users see of a file, if they differ from those on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Permission bits, with set-id and sticky bits.
    pub perm: u32,
    /// What kind of file it is.
    pub kind: Kind,
    /// The number of the device; 0 for other files.
    pub rdev: u64,
}

/// Facts about an entry beside its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Flags(u8);

impl Flags {
    /// A whiteout: nothing else of the record counts.
    pub(super) const WHITEOUT: Flags = Flags(1);
    /// A directory that hides directories of its name in the layers below.
    pub(super) const OPAQUE: Flags = Flags(1 << 1);
    /// It has extended attributes that programs see.
    pub(super) const XATTRS: Flags = Flags(1 << 2);
    /// A [`Shown`] follows the name and target.
    pub(super) const SHOWN: Flags = Flags(1 << 3);
    /// It carries marks that the table does not record: a lookup must read the layer itself.
    pub(super) const ASK: Flags = Flags(1 << 4);
    pub(super) const IMMUTABLE: Flags = Flags(1 << 5);
    pub(super) const APPEND_ONLY: Flags = Flags(1 << 6);

    pub(super) fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    pub(super) fn set(&mut self, flag: Flags, on: bool) {
        if on {
            self.0 |= flag.0;
        }
    }
}

/// One entry of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The attributes on disk; `dev` is not stored.
    pub(super) stat: Stat,
    /// The section of this entry, if it is a directory.
    pub(super) section: Option<u32>,
    pub(super) flags: Flags,
    /// Offset of the name from the end of the entries.
    pub(super) name_at: u32,
    pub(super) name_len: u8,
    /// Length of the link target, which follows the name.
    pub(super) target_len: u16,
}

pub(super) fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Takes integers off the front of a record.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    fn half(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn word(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn long(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

impl Header {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut rest = Vec::with_capacity(HEADER);
        rest.extend(self.identity);
        rest.extend(self.len.to_le_bytes());
        rest.extend(self.rows_at.to_le_bytes());
        rest.extend(self.rows.to_le_bytes());
        rest.extend(self.rows_crc.to_le_bytes());
        rest.extend(u32::from(self.has_acls).to_le_bytes());
        rest.extend([0; 4]);
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(crc(&rest).to_le_bytes());
        bytes.extend(rest);
        bytes
    }

    /// `None` if the bytes are no header of this version, or a damaged one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Header> {
        let mut fields = Fields(bytes.get(..HEADER)?);
        let (magic, version, sum) = (fields.take()?, fields.word()?, fields.word()?);
        if magic != MAGIC || version != VERSION || sum != crc(fields.0) {
            return None;
        }
        Header::read(fields)
    }

    #[cfg(test)]
    pub(super) fn parse_unchecked(bytes: &[u8]) -> Option<Header> {
        Header::read(Fields(bytes.get(16..HEADER)?))
    }

    fn read(mut fields: Fields<'_>) -> Option<Header> {
        Some(Header {
            identity: fields.take()?,
            len: fields.long()?,
            rows_at: fields.long()?,
            rows: fields.word()?,
            rows_crc: fields.word()?,
            has_acls: fields.word()? != 0,
        })
    }
}

impl Row {
    pub(super) fn put(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.at.to_le_bytes());
        for word in [self.len, self.entries, self.crc, self.parent, self.place, u32::from(self.unknown)] {
            bytes.extend(word.to_le_bytes());
        }
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Row> {
        let mut fields = Fields(bytes);
        Some(Row {
            at: fields.long()?,
            len: fields.word()?,
            entries: fields.word()?,
            crc: fields.word()?,
            parent: fields.word()?,
            place: fields.word()?,
            unknown: fields.word()? != 0,
        })
    }
}

impl Entry {
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        let stat = &self.stat;
        let times = [stat.mtime, stat.atime, stat.ctime];
        for long in [stat.ino, stat.size, stat.blocks, stat.rdev] {
            bytes.extend(long.to_le_bytes());
        }
        for time in times {
            bytes.extend(time.sec.to_le_bytes());
        }
        for time in times {
            bytes.extend(time.nsec.to_le_bytes());
        }
        let mode = stat.kind.mode_bits() | stat.perm;
        let section = self.section.unwrap_or(NONE);
        for word in [mode, stat.nlink, stat.uid, stat.gid, stat.block_size, section, self.name_at] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(self.target_len.to_le_bytes());
        bytes.extend([self.name_len, self.flags.0]);
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Entry> {
        let mut fields = Fields(bytes);
        let (ino, size, blocks, rdev) = (fields.long()?, fields.long()?, fields.long()?, fields.long()?);
        let seconds = [fields.long()?, fields.long()?, fields.long()?].map(u64::cast_signed);
        let nanoseconds = [fields.word()?, fields.word()?, fields.word()?];
        let [mtime, atime, ctime] =
            std::array::from_fn(|which| Timestamp { sec: seconds[which], nsec: nanoseconds[which] });
        let (mode, nlink, uid, gid) = (fields.word()?, fields.word()?, fields.word()?, fields.word()?);
        let (block_size, section, name_at) = (fields.word()?, fields.word()?, fields.word()?);
        let (target_len, name_len, flags) = (fields.half()?, fields.byte()?, Flags(fields.byte()?));
        let stat = Stat {
            dev: 0,
            ino,
            kind: Kind::of_mode(mode),
            perm: mode & 0o7777,
            nlink,
            uid,
            gid,
            rdev,
            size,
            blocks,
            block_size,
            atime,
            mtime,
            ctime,
            immutable: flags.has(Flags::IMMUTABLE),
            append_only: flags.has(Flags::APPEND_ONLY),
        };
        let section = (section != NONE).then_some(section);
        Some(Entry { stat, section, flags, name_at, name_len, target_len })
    }
}

impl Shown {
    /// The attributes in `stat`.
    pub fn of(stat: &Stat) -> Shown {
        Shown { uid: stat.uid, gid: stat.gid, perm: stat.perm, kind: stat.kind, rdev: stat.rdev }
    }

    /// The attributes that users see; `stat` are those on disk.
    pub fn over(&self, stat: Stat) -> Stat {
        Stat { uid: self.uid, gid: self.gid, perm: self.perm, kind: self.kind, rdev: self.rdev, ..stat }
    }

    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.uid.to_le_bytes());
        bytes.extend(self.gid.to_le_bytes());
        bytes.extend((self.kind.mode_bits() | self.perm).to_le_bytes());
        bytes.extend(self.rdev.to_le_bytes());
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Shown> {
        let mut fields = Fields(bytes);
        let (uid, gid, mode) = (fields.word()?, fields.word()?, fields.word()?);
        Some(Shown { uid, gid, perm: mode & 0o7777, kind: Kind::of_mode(mode), rdev: fields.long()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_have_the_sizes_that_the_format_says() {
        let header = Header { identity: [7; 32], len: 1, rows_at: 2, rows: 3, rows_crc: 4, has_acls: true };
        assert_eq!(header.to_bytes().len(), HEADER);
        assert_eq!(Header::parse(&header.to_bytes()), Some(header));
        let row = Row { at: 1 << 40, len: 2, entries: 3, crc: 4, parent: 5, place: 6, unknown: true };
        let mut bytes = Vec::new();
        row.put(&mut bytes);
        assert_eq!((bytes.len(), Row::parse(&bytes)), (ROW, Some(row)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn whatever_the_bytes_an_entry_survives_reading_and_writing(bytes in prop::array::uniform::<_, ENTRY>(any::<u8>())) {
            let entry = Entry::parse(&bytes).unwrap();
            let mut written = Vec::new();
            entry.put(&mut written);
            prop_assert_eq!(written.len(), ENTRY);
            prop_assert_eq!(Entry::parse(&written), Some(entry));
            prop_assert_eq!(Entry::parse(&bytes[1..]), None);
        }
    }
}
