//! Data: reading and writing the content of a node in the layer that has it now.

use std::ffi::OsString;
use std::sync::Arc;

use crate::layer::Protection;
use crate::sys::{Errno, File, Kind, OFlags, Result, SeekTo};

use super::Union;
use super::content_location::At;
use super::copy_up::Need;
use super::descriptors::FileKey;
use super::node::{Content, Node, NodeId};

impl Union {
    /// The target of a symbolic link.
    ///
    /// # Errors
    /// As `readlink(2)`; `EINVAL` for any other kind of node.
    pub fn read_link(&self, id: NodeId) -> Result<OsString> {
        let node = self.node(id)?;
        if node.kind != Kind::Symlink {
            return Err(Errno::INVAL);
        }
        if let Some(target) = self.record(&node).and_then(|record| record.target()) {
            return Ok(target);
        }
        self.at(&node, At::read_link)
    }

    /// Reads the whole content of a lower file that is shorter than `buffer`, and passes it to `then`, which runs
    /// before any copy-up can replace it. `None` for any other file, and for an empty one.
    ///
    /// # Errors
    /// As `fstat(2)` and `pread(2)`.
    pub fn with_short<T>(&self, id: NodeId, buffer: &mut [u8], then: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let node = self.node(id)?;
        // A trace must record only what programs read.
        if node.kind != Kind::Regular || self.trace.is_some() {
            return Ok(None);
        }
        let file = self.content(&node)?;
        let state = node.state.read();
        if state.is_upper() {
            return Ok(None);
        }
        let size = usize::try_from(file.stat()?.size).unwrap_or(usize::MAX);
        if size == 0 || size >= buffer.len() {
            return Ok(None);
        }
        let len = file.read_at(&mut buffer[..size], 0)?;
        Ok(Some(then(&buffer[..len])))
    }

    /// Reads up to `buffer.len()` bytes; fewer only at the end of the file.
    ///
    /// # Errors
    /// As `pread(2)`.
    pub fn read(&self, id: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let node = self.node(id)?;
        let count = self.content(&node)?.read_at(buffer, offset)?;
        self.was_read(&node, offset, count as u64);
        Ok(count)
    }

    /// As [`read`](Self::read), but moves no access time, as with `O_NOATIME`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_quietly(&self, id: NodeId, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let node = self.node(id)?;
        let is_below = {
            let state = node.state.read();
            !state.is_upper() || state.data_below().is_some()
        };
        // Lower files are always read without moving the access time.
        if node.kind != Kind::Regular || is_below {
            return self.read(id, offset, buffer);
        }
        self.descriptors.file(FileKey::Quiet(node.id), || self.at(&node, At::open_quietly))?.read_at(buffer, offset)
    }

    /// Copies the file up if needed and writes. Returns the number of bytes written. An error means that nothing was
    /// written.
    ///
    /// # Errors
    /// As `pwrite(2)`, and those of copying up; `EPERM` for an immutable file, or for a write that is not at the end of
    /// an append-only one.
    pub fn write(&self, id: NodeId, offset: u64, data: &[u8]) -> Result<usize> {
        let node = self.node(id)?;
        self.may_write(&node, offset)?;
        self.upper_data(&node, Need::Data)?.write_at(data, offset)
    }

    /// As [`write`](Self::write), for data that the page cache writes back. The protection of an upper file is not
    /// checked: the program may have written the data before the file was protected. A lower file cannot have become
    /// protected in between, so its protection is checked.
    ///
    /// # Errors
    /// As `pwrite(2)`, and those of copying up; `EPERM` for an immutable lower file.
    pub fn write_back(&self, id: NodeId, offset: u64, data: &[u8]) -> Result<usize> {
        let node = self.node(id)?;
        if !node.is_upper() {
            node.protection().permits_more()?;
        }
        self.upper_data(&node, Need::Data)?.write_at(data, offset)
    }

    /// Allocates or frees space; `mode` is that of `fallocate(2)`.
    ///
    /// # Errors
    /// As `fallocate(2)`.
    pub fn allocate(&self, id: NodeId, mode: u32, offset: u64, len: u64) -> Result<()> {
        let node = self.node(id)?;
        node.protection().permits_change()?;
        self.upper_data(&node, Need::Data)?.allocate(mode, offset, len)
    }

    /// The offset of the next data or hole at or after `offset`.
    ///
    /// # Errors
    /// As `lseek(2)`.
    pub fn seek(&self, id: NodeId, to: SeekTo, offset: u64) -> Result<u64> {
        let node = self.node(id)?;
        self.content(&node)?.seek(to, offset)
    }

    /// Copies a range between two files inside the host's kernel. Returns the number of bytes copied.
    ///
    /// # Errors
    /// As `copy_file_range(2)`.
    pub fn copy_range(&self, from: (NodeId, u64), to: (NodeId, u64), len: u64) -> Result<usize> {
        let (source_node, target) = (self.node(from.0)?, self.node(to.0)?);
        self.may_write(&target, to.1)?;
        let target = self.upper_data(&target, Need::Data)?;
        // The source is opened after the copy-up, since both may be one file.
        let source = self.content(&source_node)?;
        let count = target.copy_range_from(&source, from.1, to.1, usize::try_from(len).unwrap_or(usize::MAX >> 1))?;
        self.was_read(&source_node, from.1, count as u64);
        Ok(count)
    }

    /// Syncs a node to disk; does nothing for a lower one.
    ///
    /// # Errors
    /// As `fsync(2)`.
    pub fn sync(&self, id: NodeId, data_only: bool) -> Result<()> {
        let node = self.node(id)?;
        if self.volatile || !node.is_upper() {
            return Ok(());
        }
        match node.kind {
            Kind::Directory => self.upper_fd(&node)?.map_or(Ok(()), |dir| dir.sync()),
            Kind::Regular => self.open_upper(&node)?.sync(data_only),
            _ => Ok(()),
        }
    }

    /// The file on disk that the kernel may read and write itself while the node is open. `None` if a copy-up may
    /// move the content, if writes must be checked, or for a lower file of less than `worth` bytes.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn backing(&self, id: NodeId, worth: u64) -> Result<Option<Arc<File>>> {
        let node = self.node(id)?;
        if node.kind != Kind::Regular {
            return Ok(None);
        }
        let is_upper = {
            let state = node.state.read();
            state.is_upper() && state.data_below().is_none()
        };
        if is_upper && node.protection() == Protection::default() {
            return self.open_upper(&node).map(Some);
        }
        // A trace needs every read to come to this process.
        if !self.is_read_only() || self.trace.is_some() {
            return Ok(None);
        }
        let file = self.content(&node)?;
        Ok((file.stat()?.size >= worth).then_some(file))
    }

    /// A descriptor for reading the node's content.
    pub(super) fn content(&self, node: &Node) -> Result<Arc<File>> {
        if node.kind != Kind::Regular {
            return Err(if node.is_dir() { Errno::ISDIR } else { Errno::INVAL });
        }
        let data = {
            let state = node.state.read();
            match (state.data_below(), &state.content) {
                (None, Content::Upper(_)) => None,
                (None, Content::Lower(lower)) => Some(Some(lower.file.clone())),
                (None, Content::Dir(_)) => Some(None),
                (Some(data), _) => Some(Some(data.file.clone())),
            }
        };
        match data {
            None => self.open_upper(node),
            // A copy-up meanwhile does no harm: the lower file does not change.
            Some(file) => self.descriptors.file(FileKey::Lower(node.id), || match file {
                Some(file) => file.open(self),
                None => self.at(node, At::open_quietly),
            }),
        }
    }

    /// A descriptor for reading and writing a file of the upper layer.
    pub(super) fn open_upper(&self, node: &Node) -> Result<Arc<File>> {
        self.descriptors.file(FileKey::Upper(node.id), || {
            self.at_upper(node, |at| match at.open(OFlags::RDWR) {
                // The user's permission was checked before. Without privilege, the mode can keep even the owner
                // (this process) from opening the file.
                Err(Errno::ACCESS) => {
                    let (fd, perm) = (at.path_fd()?, at.stat()?.perm);
                    fd.set_perm(perm | 0o600)?;
                    let opened = at.open(OFlags::RDWR);
                    fd.set_perm(perm)?;
                    opened
                }
                other => other,
            })
        })
    }
}
