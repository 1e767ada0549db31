//! Memory that is no longer needed.

/// Gives the kernel back what the allocator keeps of freed memory, where the allocator can: what many nodes
/// took is else kept for the next ones, for ever. Takes a millisecond or so for tens of MiB.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer, and may be called at any time, by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
