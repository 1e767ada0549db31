//! Files read through the memory of this process.

use std::os::fd::AsFd;

use rustix::mm::{self, MapFlags, ProtFlags};

use super::{Errno, Result};

/// Maps the first `len` bytes of `file` and reads a byte of each 4 KiB; answers the sum of these, so that none is
/// left out. The file must not become shorter meanwhile: this process would be killed, as any that maps files.
///
/// # Errors
/// As `mmap(2)`; `EINVAL` for a length of 0.
pub fn read_mapped(file: impl AsFd, len: u64) -> Result<u64> {
    let len = usize::try_from(len).map_err(|_| Errno::OVERFLOW)?;
    // SAFETY: a new map, at a place that the kernel chooses.
    let start = unsafe { mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, file, 0)? };
    let bytes: *const u8 = start.cast();
    // SAFETY: every offset is below `len`, the length of the map; volatile, as others may write the file.
    let sum = (0..len).step_by(4096).map(|at| u64::from(unsafe { bytes.add(at).read_volatile() })).sum();
    // SAFETY: the map that was made above; no reference into it is left.
    unsafe { mm::munmap(start, len)? };
    Ok(sum)
}
