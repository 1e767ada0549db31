//! Returning freed memory to the kernel.

/// Returns the allocator's freed memory to the kernel, where the allocator can. Without this, memory that was needed
/// once for many nodes stays with the process. Takes about a millisecond for tens of MiB.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer, and may be called at any time, by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
