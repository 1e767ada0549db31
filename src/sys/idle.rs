//! How deep idle CPUs sleep, set through the kernel's PM QoS.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::retry_on_intr;

use super::Result;

const PATH: &str = "/dev/cpu_dma_latency";
/// The kernel's default value: any wake-up latency is acceptable.
const NO_LIMIT: i32 = 2_000_000_000;

/// A limit on how long the host's CPUs may take to wake. The limit ends when this value is dropped.
#[derive(Debug)]
pub struct CpuLatency(OwnedFd);

impl CpuLatency {
    /// Opens the device, without a limit yet.
    ///
    /// # Errors
    /// As `open(2)`; `EACCES` unless this process is the host's root.
    pub fn open() -> Result<CpuLatency> {
        Ok(CpuLatency(rustix::fs::open(PATH, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// With `poll`, idle CPUs poll for work instead of sleeping; without, they sleep as usual.
    ///
    /// # Errors
    /// As `write(2)`.
    pub fn poll(&self, poll: bool) -> Result<()> {
        let microseconds = if poll { 0 } else { NO_LIMIT };
        retry_on_intr(|| rustix::io::write(&self.0, &i32::to_ne_bytes(microseconds))).map(drop)
    }
}
