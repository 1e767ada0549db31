//! What idle CPUs do, by the kernel's PM QoS.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::retry_on_intr;

use super::Result;

const PATH: &str = "/dev/cpu_dma_latency";
/// The kernel's word for "no matter how long".
const NO_LIMIT: i32 = 2_000_000_000;

/// A say in how long the CPUs of the host may take to wake. It ends with this.
#[derive(Debug)]
pub struct CpuLatency(OwnedFd);

impl CpuLatency {
    /// Asks for nothing yet.
    ///
    /// # Errors
    /// As `open(2)`; `EACCES` to all but root of the host.
    pub fn open() -> Result<CpuLatency> {
        Ok(CpuLatency(rustix::fs::open(PATH, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// From now on idle CPUs poll for work instead of sleeping, or they do no longer.
    ///
    /// # Errors
    /// As `write(2)`.
    pub fn poll(&self, poll: bool) -> Result<()> {
        let microseconds = if poll { 0 } else { NO_LIMIT };
        retry_on_intr(|| rustix::io::write(&self.0, &i32::to_ne_bytes(microseconds))).map(drop)
    }
}
