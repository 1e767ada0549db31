//! A file mapped into memory, read-only.

use std::ffi::CStr;
use std::fmt;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};

use rustix::fs::{FileType, MemfdFlags, fstat, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::{Errno, File, Result};

/// The bytes of a file, in the page cache. The mapping does not need the descriptor any longer.
///
/// Use it only for files that nobody else can reach: a write to the file changes these bytes, and truncating it ends
/// this process with `SIGBUS`, as a disk error does.
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
    /// As `mmap(2)`; `EINVAL` when it is not a regular file, or empty.
    pub fn new(file: impl AsFd) -> Result<FileMap> {
        let stat = fstat(&file)?;
        let len = usize::try_from(stat.st_size).map_err(|_| Errno::OVERFLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || len == 0 {
            return Err(Errno::INVAL);
        }
        // SAFETY: a new mapping at an address that the kernel chooses, so no other code in this process uses its pages.
        let at = unsafe { mmap(ptr::null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, &file, 0) }?;
        Ok(FileMap { at: NonNull::new(at.cast()).ok_or(Errno::NOMEM)?, len })
    }
}

/// Makes an empty file in memory that nobody else can reach.
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
        // SAFETY: this is the mapping that `new` made, and no borrow of it is left.
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
    fn directories_and_empty_files_cannot_be_mapped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("empty"), "").unwrap();
        for path in [dir.path().join("empty"), dir.path().into()] {
            assert_eq!(FileMap::new(std::fs::File::open(path).unwrap()).unwrap_err(), Errno::INVAL);
        }
    }
}
