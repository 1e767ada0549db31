//! A file as memory, to be read and never written.

use std::ffi::CStr;
use std::fmt;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};

use rustix::fs::{FileType, MemfdFlags, fstat, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::{Errno, File, Result};

/// The bytes of a file. The descriptor is not needed any longer; the pages are the page cache's.
///
/// Only for files that nobody else can reach: what is written into one shows here, and who cuts one short ends this process
/// (`SIGBUS`), as a disk does that fails.
pub struct FileMap {
    at: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is only read, and lives as long as this value does.
unsafe impl Send for FileMap {}
// SAFETY: as above.
unsafe impl Sync for FileMap {}

impl FileMap {
    /// Maps all of a regular file.
    ///
    /// # Errors
    /// As `mmap(2)`; `EINVAL` for what is no file, or an empty one.
    pub fn new(file: impl AsFd) -> Result<FileMap> {
        let stat = fstat(&file)?;
        let len = usize::try_from(stat.st_size).map_err(|_| Errno::OVERFLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || len == 0 {
            return Err(Errno::INVAL);
        }
        // SAFETY: a new mapping, where the kernel likes, of pages that nobody else in this process knows.
        let at = unsafe { mmap(ptr::null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, &file, 0) }?;
        Ok(FileMap { at: NonNull::new(at.cast()).ok_or(Errno::NOMEM)?, len })
    }
}

/// An empty file that nobody else can reach, in memory.
///
/// # Errors
/// As `memfd_create(2)`.
pub fn memory_file(name: &CStr) -> Result<File> {
    memfd_create(name, MemfdFlags::CLOEXEC).map(File::from)
}

impl Deref for FileMap {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes from `at` are mapped readable for as long as `self` lives, and by the contract of
        // this type nobody writes the file.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl Drop for FileMap {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and nothing borrows from it any longer.
        if let Err(error) = unsafe { munmap(self.at.as_ptr().cast(), self.len) } {
            tracing::warn!(%error, "cannot unmap a file");
        }
    }
}

impl fmt::Debug for FileMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileMap").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_empty_is_no_map() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("empty"), "").unwrap();
        for path in [dir.path().join("empty"), dir.path().into()] {
            assert_eq!(FileMap::new(std::fs::File::open(path).unwrap()).unwrap_err(), Errno::INVAL);
        }
    }
}
