//! An answer, written directly to the buffer that is sent.

use zerocopy::{Immutable, IntoBytes};

use crate::sys::{Errno, FsStat, IdMaps, Result, Timestamp};
use crate::union::Attr;

use super::abi;
use super::convert;

/// What follows the header of an answer.
#[derive(Debug)]
pub(in crate::fuse) struct Answer<'a> {
    room: &'a mut [u8],
    len: usize,
    /// The numbers of owners as the kernel is told them.
    ids: &'a IdMaps,
}

impl<'a> Answer<'a> {
    pub(in crate::fuse) fn new(room: &'a mut [u8], ids: &'a IdMaps) -> Answer<'a> {
        Answer { room, len: 0, ids }
    }

    pub(in crate::fuse) fn len(&self) -> usize {
        self.len
    }

    /// Limits the answer to `most` bytes in all.
    pub(in crate::fuse) fn limit(&mut self, most: u32) {
        let room = std::mem::take(&mut self.room);
        let most = room.len().min(most as usize);
        self.room = &mut room[..most];
    }

    /// Removes all that was written.
    pub(in crate::fuse) fn clear(&mut self) {
        self.len = 0;
    }

    /// The part of the buffer behind the answer so far.
    pub(in crate::fuse) fn spare(&mut self) -> &mut [u8] {
        &mut self.room[self.len..]
    }

    /// Whether `more` bytes still fit.
    pub(in crate::fuse) fn has_room(&self, more: usize) -> bool {
        more <= self.room.len() - self.len
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// `ERANGE` when they do not fit.
    pub(in crate::fuse) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let to = self.room[self.len..].get_mut(..bytes.len()).ok_or(Errno::RANGE)?;
        to.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// Appends a part of fixed layout.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub(in crate::fuse) fn put<T: IntoBytes + Immutable>(&mut self, part: &T) -> Result<()> {
        self.bytes(part.as_bytes())
    }

    /// Appends what `read` writes to a buffer of at most `size` bytes.
    pub(in crate::fuse) fn fill(&mut self, size: u32, read: impl FnOnce(&mut [u8]) -> Result<usize>) -> Result<()> {
        let room = &mut self.room[self.len..];
        let size = room.len().min(size as usize);
        self.len += read(&mut room[..size])?.min(size);
        Ok(())
    }

    /// Appends a value for a caller with a buffer of `size` bytes; a size of 0 asks for the length only.
    ///
    /// # Errors
    /// `ERANGE` when the value is longer.
    pub(in crate::fuse) fn value(&mut self, value: &[u8], size: u32) -> Result<()> {
        match size {
            0 => self.put(&abi::GetxattrOut { size: value.len() as u32, _padding: 0 }),
            _ if value.len() > size as usize => Err(Errno::RANGE),
            _ => self.bytes(value),
        }
    }

    /// Appends a node's attributes, which the kernel may cache for `valid` seconds.
    pub(in crate::fuse) fn attr(&mut self, attr: &Attr, valid: u64) -> Result<()> {
        self.put(&abi::AttrOut {
            attr_valid: valid,
            attr_valid_nsec: 0,
            _padding: 0,
            attr: convert::attr(attr, self.ids),
        })
    }

    /// As [`attr`](Self::attr), with the time at which the node was made if that is known.
    pub(in crate::fuse) fn statx(&mut self, attr: &Attr, birth: Option<Timestamp>, valid: u64) -> Result<()> {
        let stat = convert::statx(attr, birth, self.ids);
        self.put(&abi::StatxOut { attr_valid: valid, attr_valid_nsec: 0, flags: 0, _spare: [0; 2], stat })
    }

    /// Appends the node of a name. The kernel may cache the name for ever, and the attributes for `valid` seconds.
    pub(in crate::fuse) fn entry(&mut self, attr: &Attr, valid: u64) -> Result<()> {
        self.put(&self.entry_out(attr, valid))
    }

    /// What [`entry`](Self::entry) appends.
    pub(in crate::fuse) fn entry_out(&self, attr: &Attr, valid: u64) -> abi::EntryOut {
        convert::entry(attr, valid, self.ids)
    }

    pub(in crate::fuse) fn stat_fs(&mut self, fs: &FsStat) -> Result<()> {
        self.put(&abi::StatfsOut {
            blocks: fs.blocks,
            bfree: fs.blocks_free,
            bavail: fs.blocks_available,
            files: fs.files,
            ffree: fs.files_free,
            bsize: fs.block_size,
            namelen: fs.name_max,
            frsize: fs.fragment_size,
            _padding: 0,
            _spare: [0; 6],
        })
    }
}
