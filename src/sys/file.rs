//! Reading, writing and syncing an open file.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{self as rfs, AtFlags, FallocateFlags, Mode, OFlags, SeekFrom};
use rustix::io::retry_on_intr;

use super::count::{Call, account};
use super::path_fd::{PathFd, change_owner, proc_path};
use super::{Errno, Result, Stat};

/// The smallest page size of Linux, in bytes.
const PAGE: u64 = 4096;

/// An open file that is read and written at offsets.
#[derive(Debug)]
pub struct File(OwnedFd);

/// What `seek` looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTo {
    /// The next byte that is not in a hole.
    Data,
    /// The next byte in a hole, or the end of the file.
    Hole,
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File(fd)
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        file.0
    }
}

impl From<File> for std::fs::File {
    fn from(file: File) -> std::fs::File {
        std::fs::File::from(file.0)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl File {
    /// Reads until `buffer` is full or the file ends; returns the count.
    ///
    /// # Errors
    /// As `pread(2)`.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            account(Call::Read)?;
            match retry_on_intr(|| rustix::io::pread(&self.0, &mut buffer[done..], offset + done as u64))? {
                0 => break,
                n => done += n,
            }
            // A read stops at the end of the buffer or of the file, or at a page boundary when the next page was not
            // available: only then a second read can return more.
            // unavailable now.
            if !(offset + done as u64).is_multiple_of(PAGE) {
                break;
            }
        }
        Ok(done)
    }

    /// Writes all of `data`, or as much as fits: a short count when an error follows some success.
    ///
    /// # Errors
    /// As `pwrite(2)`, when nothing was written.
    pub fn write_at(&self, data: &[u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while done < data.len() {
            let write = || retry_on_intr(|| rustix::io::pwrite(&self.0, &data[done..], offset + done as u64));
            match account(Call::Write).and_then(|()| write()) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// # Errors
    /// As `fstat(2)`.
    pub fn stat(&self) -> Result<Stat> {
        account(Call::Stat)?;
        rfs::fstat(&self.0).map(Stat::from)
    }

    /// # Errors
    /// As `ftruncate(2)`.
    pub fn set_len(&self, size: u64) -> Result<()> {
        account(Call::Truncate)?;
        retry_on_intr(|| rfs::ftruncate(&self.0, size))
    }

    /// # Errors
    /// As `fchown(2)`.
    pub fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        change_owner(self.as_fd(), OsStr::new(""), (uid, gid), AtFlags::EMPTY_PATH)
    }

    /// An `O_PATH` descriptor of the same file.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn to_path_fd(&self) -> Result<PathFd> {
        account(Call::Open)?;
        rfs::open(proc_path(self.as_fd()), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map(PathFd::from)
    }

    /// # Errors
    /// As `fchmod(2)`.
    pub fn set_perm(&self, perm: u32) -> Result<()> {
        account(Call::Chmod)?;
        rfs::fchmod(&self.0, Mode::from_raw_mode(perm))
    }

    /// Calls `fallocate(2)` with `mode`. Unknown bits in `mode` give `EOPNOTSUPP`.
    ///
    /// # Errors
    /// As `fallocate(2)`.
    pub fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<()> {
        let mode = FallocateFlags::from_bits(mode).ok_or(Errno::OPNOTSUPP)?;
        account(Call::Allocate)?;
        retry_on_intr(|| rfs::fallocate(&self.0, mode, offset, len))
    }

    /// The next data or hole at or after `offset`.
    ///
    /// # Errors
    /// `ENXIO` past the end, or when no data follows.
    pub fn seek(&self, to: SeekTo, offset: u64) -> Result<u64> {
        let from = match to {
            SeekTo::Data => SeekFrom::Data(offset),
            SeekTo::Hole => SeekFrom::Hole(offset),
        };
        account(Call::Seek)?;
        rfs::seek(&self.0, from)
    }

    /// Writes the content to the disk, and the attributes too unless `data_only`.
    ///
    /// # Errors
    /// As `fsync(2)`.
    pub fn sync(&self, data_only: bool) -> Result<()> {
        account(Call::Sync)?;
        if data_only { rfs::fdatasync(&self.0) } else { rfs::fsync(&self.0) }
    }

    /// Copies a range inside the kernel; returns the count, 0 at the end of `from`.
    ///
    /// # Errors
    /// As `copy_file_range(2)`.
    pub fn copy_range_from(&self, from: &File, from_offset: u64, to_offset: u64, len: usize) -> Result<usize> {
        let (mut from_offset, mut to_offset) = (from_offset, to_offset);
        account(Call::Copy)?;
        retry_on_intr(|| rfs::copy_file_range(&from.0, Some(&mut from_offset), &self.0, Some(&mut to_offset), len))
    }
}

#[cfg(test)]
mod tests {
    use crate::sys::{Dir, OFlags};

    #[test]
    fn a_file_of_any_size_is_read_to_its_end() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = Dir::open_host(scratch.path()).unwrap();
        for size in [0, 1, 4095, 4096, 4097, 8192, 70_000] {
            let content: Vec<u8> = (0..size).map(|at: u32| at as u8).collect();
            std::fs::write(scratch.path().join("file"), &content).unwrap();
            let file = dir.open_file("file", OFlags::RDONLY, 0).unwrap();
            for (offset, room) in [(0, 1), (0, 4096), (0, 100_000), (1, 100_000), (4096, 100_000), (100_000, 1)] {
                let mut buffer = vec![0; room];
                let count = file.read_at(&mut buffer, offset as u64).unwrap();
                let expected = &content[offset.min(content.len())..(offset + room).min(content.len())];
                assert_eq!(&buffer[..count], expected, "{room} bytes at {offset} of {size}");
            }
        }
    }
}
