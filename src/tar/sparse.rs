//! Maps of files with holes, in the formats that GNU tar writes: its own, and PAX 0.1 and 1.0.

use std::path::Path;

use super::Error;
use super::number::number;

/// The most pieces of one file that are accepted; archivers write fewer.
const SEGMENTS_MAX: usize = 1 << 20;

/// A piece of data: `len` bytes of the archive go to `offset` of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub offset: u64,
    pub len: u64,
}

/// The `GNU.sparse.` records.
#[derive(Debug, Default)]
pub(super) struct SparseRecords<'a> {
    pub major: Option<&'a [u8]>,
    pub name: Option<&'a [u8]>,
    pub map: Option<&'a [u8]>,
    pub size: Option<&'a [u8]>,
    pub offset: Option<&'a [u8]>,
}

/// A map while it is read.
#[derive(Debug)]
pub(super) struct Map<'a> {
    path: &'a Path,
    segments: Vec<Segment>,
}

impl<'a> Map<'a> {
    pub(super) fn new(path: &'a Path) -> Map<'a> {
        Map { path, segments: Vec::new() }
    }

    pub(super) fn error(&self, why: &'static str) -> Error {
        Error::Sparse { path: self.path.into(), why }
    }

    /// Adds a piece, which must begin at or after the end of the last one.
    pub(super) fn push(&mut self, offset: u64, len: u64) -> Result<(), Error> {
        let end = self.segments.last().map_or(0, |s| s.offset + s.len);
        if offset < end || offset.checked_add(len).is_none_or(|end| end > i64::MAX as u64) {
            return Err(self.error("its pieces overlap"));
        }
        if self.segments.len() == SEGMENTS_MAX {
            return Err(self.error("it has too many pieces"));
        }
        self.segments.push(Segment { offset, len });
        Ok(())
    }

    /// Adds the piece in a pair of header fields; ignores an unused pair.
    pub(super) fn push_fields(&mut self, offset: &[u8], len: &[u8]) -> Result<(), Error> {
        if offset.first() == Some(&0) || len.first() == Some(&0) {
            return Ok(());
        }
        let read = |field| number(field).and_then(|n| u64::try_from(n).ok());
        match (read(offset), read(len)) {
            (Some(offset), Some(len)) => self.push(offset, len),
            _ => Err(self.error("a number is out of range")),
        }
    }

    /// The finished map of a file of `size` bytes, `stored` of which are in the archive.
    pub(super) fn finish(self, size: u64, stored: u64) -> Result<Vec<Segment>, Error> {
        let sum: u64 = self.segments.iter().map(|s| s.len).sum();
        let end = self.segments.last().map_or(0, |s| s.offset + s.len);
        if sum != stored || end > size || size > i64::MAX as u64 {
            return Err(self.error("it does not match the size"));
        }
        Ok(self.segments)
    }
}

/// The format that PAX records announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announced {
    No,
    /// The map is in the record `GNU.sparse.map`.
    InRecord,
    /// The map precedes the data.
    BeforeData,
}

pub(super) fn announced(records: &SparseRecords<'_>, path: &Path) -> Result<Announced, Error> {
    match (records.major, records.map, records.offset) {
        (None, None, None) => Ok(Announced::No),
        (Some(b"1"), ..) => Ok(Announced::BeforeData),
        (None | Some(b"0"), Some(_), _) => Ok(Announced::InRecord),
        _ => Err(Error::Sparse { path: path.into(), why: "its format is unknown" }),
    }
}

/// Parses a decimal number in a record or a map.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads the record `OFFSET,LENGTH,OFFSET,LENGTH…`.
pub(super) fn read_record(map: &mut Map<'_>, text: &[u8]) -> Result<(), Error> {
    let mut numbers = text.split(|&b| b == b',').map(decimal);
    while let Some(offset) = numbers.next() {
        match (offset, numbers.next().flatten()) {
            (Some(offset), Some(len)) => map.push(offset, len)?,
            _ => return Err(map.error("a number is out of range")),
        }
    }
    Ok(())
}
