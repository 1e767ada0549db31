//! The device `/dev/fuse`: the kernel sends the requests of one mount on it and takes the answers.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::retry_on_intr;
use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode, Setter, opcode};

use super::{Errno, Result};

const PATH: &str = "/dev/fuse";
const GROUP: u8 = 229;

/// A descriptor of `/dev/fuse`. A request must be answered on the descriptor from which it was read.
#[derive(Debug)]
pub struct FuseDevice(OwnedFd);

impl From<OwnedFd> for FuseDevice {
    fn from(fd: OwnedFd) -> FuseDevice {
        FuseDevice(fd)
    }
}

impl AsFd for FuseDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[repr(C)]
struct BackingMap {
    fd: i32,
    flags: u32,
    padding: u64,
}

/// The ioctl that registers a backing file and returns its number.
struct BackingOpen(BackingMap);

// SAFETY: the kernel reads a `struct fuse_backing_map` and writes nothing.
unsafe impl Ioctl for BackingOpen {
    type Output = u32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        opcode::write::<BackingMap>(GROUP, 1)
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut std::ffi::c_void) -> rustix::io::Result<u32> {
        u32::try_from(out).map_err(|_| Errno::INVAL)
    }
}

impl FuseDevice {
    /// Opens a device that no mount uses yet.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open() -> Result<FuseDevice> {
        Ok(FuseDevice(rustix::fs::open(PATH, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// Opens a second descriptor for the same mount. Threads with a descriptor each do not contend for one queue.
    ///
    /// # Errors
    /// As `open(2)` and `ioctl(2)`: `EINVAL` before this device is mounted.
    pub fn another(&self) -> Result<FuseDevice> {
        let other = FuseDevice::open()?;
        let raw = self.0.as_raw_fd().cast_unsigned();
        // SAFETY: the kernel reads the number of a descriptor through the pointer.
        unsafe { ioctl::ioctl(&other, Setter::<{ opcode::read::<u32>(GROUP, 0) }, u32>::new(raw)) }?;
        Ok(other)
    }

    /// Duplicates the descriptor.
    ///
    /// # Errors
    /// When no descriptor is free.
    pub fn duplicate(&self) -> Result<FuseDevice> {
        self.0.try_clone().map(FuseDevice).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::MFILE))
    }

    /// Waits for a request and returns its length. One read yields one request.
    ///
    /// # Errors
    /// `ENODEV` when the mount is gone; `ENOENT` when the request was withdrawn during the read.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        retry_on_intr(|| rustix::io::read(&self.0, &mut *buffer))
    }

    /// Sends one answer or notification.
    ///
    /// # Errors
    /// `ENOENT` when the requester no longer waits; else as `write(2)`.
    pub fn send(&self, message: &[u8]) -> Result<()> {
        retry_on_intr(|| rustix::io::write(&self.0, message)).map(drop)
    }

    /// As [`send`](Self::send), for a message in several pieces.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_pieces(&self, pieces: &[IoSlice<'_>]) -> Result<()> {
        retry_on_intr(|| rustix::io::writev(&self.0, pieces)).map(drop)
    }

    /// Registers a backing file, which the kernel reads and writes itself; returns its number.
    ///
    /// # Errors
    /// `EPERM` unless this process is privileged on the host, `ELOOP` when `file` is on too deep a stack of file
    /// systems; else as `ioctl(2)`.
    pub fn back(&self, file: impl AsFd) -> Result<u32> {
        let map = BackingMap { fd: file.as_fd().as_raw_fd(), flags: 0, padding: 0 };
        // SAFETY: as at `BackingOpen`.
        unsafe { ioctl::ioctl(&self.0, BackingOpen(map)) }
    }

    /// Unregisters backing file `id`. Open files that use it keep it.
    ///
    /// # Errors
    /// As `ioctl(2)`.
    pub fn unback(&self, id: u32) -> Result<()> {
        // SAFETY: the kernel reads a number through the pointer.
        unsafe { ioctl::ioctl(&self.0, Setter::<{ opcode::write::<u32>(GROUP, 2) }, u32>::new(id)) }
    }
}
