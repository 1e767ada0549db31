//! Room on the disk that comes back late.
//!
//! A removed file keeps its room until the kernel has told that nobody knows it any more. It tells so after the
//! removal was answered, and not in one order with other requests: a change may come first, and find the disk full.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::sys::FuseDevice;
use crate::sys::poll::{self, Interest};

const PAUSE: Duration = Duration::from_millis(1);
const PAUSES: usize = 20;

/// How many threads are hearing now of files that nobody knows.
#[derive(Debug, Default)]
pub(in crate::fuse) struct PendingForgets(AtomicUsize);

impl PendingForgets {
    /// Does what forgets files.
    pub(in crate::fuse) fn during<T>(&self, forget: impl FnOnce() -> T) -> T {
        self.0.fetch_add(1, Ordering::AcqRel);
        let result = forget();
        self.0.fetch_sub(1, Ordering::AcqRel);
        result
    }

    /// Waits until all that was told has been heard, but not for long. Whether to try again.
    pub(in crate::fuse) fn settle(&self, device: &FuseDevice) -> bool {
        (0..PAUSES).any(|_| {
            sleep(PAUSE);
            let told = poll::now(&[(device.as_fd(), Interest::Read)]).is_ok_and(|ready| ready[0]);
            !told && self.0.load(Ordering::Acquire) == 0
        })
    }
}
