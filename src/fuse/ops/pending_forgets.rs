//! Disk space of removed files, which becomes free late.
//!
//! A removed file keeps its disk space until the kernel sends FORGET for it. FORGET comes after the answer to the
//! removal, in no fixed order with other requests. So a later change can come first and find the disk full.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::sys::FuseDevice;
use crate::sys::poll::{self, Interest};

const PAUSE: Duration = Duration::from_millis(1);
const PAUSES: usize = 20;

/// How many threads are answering a FORGET now.
#[derive(Debug, Default)]
pub(in crate::fuse) struct PendingForgets(AtomicUsize);

impl PendingForgets {
    /// Runs `forget` and counts this thread meanwhile.
    pub(in crate::fuse) fn during<T>(&self, forget: impl FnOnce() -> T) -> T {
        self.0.fetch_add(1, Ordering::AcqRel);
        let result = forget();
        self.0.fetch_sub(1, Ordering::AcqRel);
        result
    }

    /// Waits a short time until the device has no request left and no thread is answering a FORGET. Returns whether
    /// that was reached, so that the failed request is worth repeating.
    pub(in crate::fuse) fn settle(&self, device: &FuseDevice) -> bool {
        (0..PAUSES).any(|_| {
            sleep(PAUSE);
            let pending = poll::now(&[(device.as_fd(), Interest::Read)]).is_ok_and(|ready| ready[0]);
            !pending && self.0.load(Ordering::Acquire) == 0
        })
    }
}
