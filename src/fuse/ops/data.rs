//! Requests about the content of files: open, read, write.

use std::io::IoSlice;
use std::os::unix::ffi::OsStrExt;

use zerocopy::IntoBytes;

use crate::fuse::wire::abi::{self, OutHeader};
use crate::fuse::wire::answer::Answer;
use crate::fuse::wire::convert::FOR_EVER;
use crate::fuse::wire::request::Request;
use crate::sys::{Errno, OFlags, Result, SeekTo};
use crate::union::{Attr, Mode, New, NodeId, Union};

use super::opens::{Opened, WORTH_PASSING, mappable};
use super::server::Server;

/// In bytes: the most that one request copies. The kernel holds the file's lock meanwhile, so others wait.
const COPY_MOST: u64 = 1 << 30;

impl Server {
    pub(in crate::fuse) fn readlink(&self, request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        to.bytes(self.union()?.read_link(request.node())?.as_bytes())
    }

    pub(in crate::fuse) fn open(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let opens = self.opens.as_ref().ok_or(Errno::NOSYS)?;
        let abi::OpenIn { flags, .. } = request.take()?;
        if flags & OFlags::RWMODE.bits() != OFlags::RDONLY.bits() {
            self.union()?.may_open_to_write(request.node(), flags & OFlags::APPEND.bits() != 0)?;
        }
        let first = || self.give_content(request.node(), flags, to.spare());
        let opened = opens.open(self.union()?, request.node(), flags, &self.device, first)?;
        if matches!(opened, Opened::Through(_)) && mappable(flags) {
            self.forget_attributes(request.node());
        }
        to.put(&open_out(opened)?)
    }

    /// Sends the kernel the content of a short lower file at its first open, which saves the READ request.
    /// Only for a file of which the kernel has no page yet: otherwise this could wait for a page whose reader waits for
    /// this thread.
    fn give_content(&self, id: NodeId, flags: u32, room: &mut [u8]) {
        if self.no_read_ahead || flags & OFlags::RWMODE.bits() != OFlags::RDONLY.bits() {
            return;
        }
        let give = |content: &[u8]| {
            let notice = abi::NotifyStoreOut { nodeid: id.0, offset: 0, size: content.len() as u32, _padding: 0 };
            let header = OutHeader::before(size_of_val(&notice) + content.len(), abi::NOTIFY_STORE, 0);
            let pieces = [header.as_bytes(), notice.as_bytes(), content].map(IoSlice::new);
            self.device.send_pieces(&pieces)
        };
        let short = room.len().min(WORTH_PASSING as usize);
        // After an error the kernel sends READ as usual.
        let _ = self.union().and_then(|union| union.with_short(id, &mut room[..short], give));
    }

    pub(in crate::fuse) fn create(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        // Without passthrough MKNOD is enough: no RELEASE comes after it.
        let opens = self.opens.as_ref().ok_or(Errno::NOSYS)?;
        let abi::CreateIn { flags, mode, umask, .. } = request.take()?;
        let mode = Mode { perm: mode & 0o7777, umask };
        let attr = self.union()?.create(self.owner(&request)?, request.node(), request.name()?, New::File, mode)?;
        self.created(&attr, |union| opens.open(union, attr.id, flags, &self.device, || {}), to)
    }

    /// A file without a name, open. It is always asked for so, also where no open is told.
    pub(in crate::fuse) fn tmpfile(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        // What follows as its name is none.
        let abi::CreateIn { flags, mode, umask, .. } = request.take()?;
        let mode = Mode { perm: mode & 0o7777, umask };
        let attr = self.union()?.create_unnamed(self.owner(&request)?, request.node(), mode)?;
        let open = |union: &Union| match &self.opens {
            Some(opens) => opens.open(union, attr.id, flags, &self.device, || {}),
            None => Ok(Opened::Unasked),
        };
        self.created(&attr, open, to)
    }

    /// Answers with a new file, opened by `open`.
    fn created(&self, attr: &Attr, open: impl FnOnce(&Union) -> Result<Opened>, to: &mut Answer<'_>) -> Result<()> {
        let union = self.union()?;
        // The file exists now, so the request must not be repeated: no error from here may cause that. When opening fails,
        // the kernel never learns of the node, so it never sends FORGET for it.
        let opened = open(union).map_err(not_for_want_of_room).inspect_err(|_| {
            union.forget(attr.id, 1);
        });
        let open = match opened? {
            // The kernel takes no backing files at all.
            Opened::Unasked => abi::OpenOut { fh: 0, open_flags: abi::FOPEN_KEEP_CACHE, backing_id: 0 },
            opened => open_out(opened)?,
        };
        // The attributes may be kept: the file is empty, so the kernel asks for them again before a program can write
        // through a map.
        to.put(&abi::CreateOut { entry: to.entry_out(attr, FOR_EVER), open })
    }

    /// When OPEN is answered `ENOSYS`, this still comes for files that CREATE or TMPFILE opened.
    pub(in crate::fuse) fn release(&self, request: Request<'_>) -> Result<()> {
        if let Some(opens) = &self.opens {
            opens.release(request.node(), &self.device);
        }
        Ok(())
    }

    pub(in crate::fuse) fn read(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let abi::ReadIn { offset, size, flags, .. } = request.take()?;
        let (union, node) = (self.union()?, request.node());
        let quiet = self.no_atime || flags & OFlags::NOATIME.bits() != 0;
        to.fill(size, |buffer| match quiet {
            true => union.read_quietly(node, offset, buffer),
            false => union.read(node, offset, buffer),
        })
    }

    pub(in crate::fuse) fn write(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let abi::WriteIn { offset, size, write_flags, .. } = request.take()?;
        let (union, node) = (self.union()?, request.node());
        if write_flags & abi::WRITE_KILL_SUIDGID != 0 {
            self.drop_set_id(node, &request)?;
        }
        let data = request.bytes(size)?;
        let count = match write_flags & abi::WRITE_CACHE {
            0 => union.write(node, offset, data)?,
            _ => union.write_back(node, offset, data)?,
        };
        written(count, to)
    }

    pub(in crate::fuse) fn sync(&self, mut request: Request<'_>) -> Result<()> {
        let abi::FsyncIn { fsync_flags, .. } = request.take()?;
        self.union()?.sync(request.node(), fsync_flags & abi::FSYNC_DATA_ONLY != 0)
    }

    pub(in crate::fuse) fn fallocate(&self, mut request: Request<'_>) -> Result<()> {
        let abi::FallocateIn { offset, length, mode, .. } = request.take()?;
        self.drop_set_id(request.node(), &request)?;
        self.union()?.allocate(request.node(), mode, offset, length)
    }

    pub(in crate::fuse) fn lseek(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let abi::LseekIn { offset, whence, .. } = request.take()?;
        // SEEK_DATA and SEEK_HOLE; the kernel does the others itself.
        let what = match whence {
            3 => SeekTo::Data,
            4 => SeekTo::Hole,
            _ => return Err(Errno::INVAL),
        };
        // The kernel's offsets are signed.
        if i64::try_from(offset).is_err() {
            return Err(Errno::NXIO);
        }
        to.put(&abi::LseekOut { offset: self.union()?.seek(request.node(), what, offset)? })
    }

    pub(in crate::fuse) fn copy_file_range(&self, request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        written(self.copy(request)?, to)
    }

    /// The same, since Linux 6.18, with a count that needs no limit: it has ours all the same.
    pub(in crate::fuse) fn copy_file_range_64(&self, request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        to.put(&abi::CopyFileRangeOut { bytes_copied: self.copy(request)? as u64 })
    }

    fn copy(&self, mut request: Request<'_>) -> Result<usize> {
        let abi::CopyFileRangeIn { off_in, nodeid_out, off_out, len, .. } = request.take()?;
        let target = NodeId(nodeid_out);
        self.drop_set_id(target, &request)?;
        self.union()?.copy_range((request.node(), off_in), (target, off_out), len.min(COPY_MOST))
    }
}

fn open_out(opened: Opened) -> Result<abi::OpenOut> {
    let cached = abi::OpenOut { fh: 0, open_flags: abi::FOPEN_KEEP_CACHE, backing_id: 0 };
    match opened {
        Opened::Unasked => Err(Errno::NOSYS),
        Opened::Cached => Ok(cached),
        Opened::Through(id) => {
            let backing_id = i32::try_from(id).map_err(|_| Errno::OVERFLOW)?;
            Ok(abi::OpenOut { open_flags: abi::FOPEN_PASSTHROUGH, backing_id, ..cached })
        }
    }
}

/// Replaces the errors of a full disk, after which the server would repeat the request.
fn not_for_want_of_room(error: Errno) -> Errno {
    if matches!(error, Errno::NOSPC | Errno::DQUOT) { Errno::IO } else { error }
}

fn written(count: usize, to: &mut Answer<'_>) -> Result<()> {
    to.put(&abi::WriteOut { size: u32::try_from(count).unwrap_or(u32::MAX), _padding: 0 })
}
