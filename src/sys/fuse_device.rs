//! The device on which the kernel sends the requests of one FUSE mount and takes the answers.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::retry_on_intr;
use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode, Setter, opcode};

use super::{Errno, Result};

const PATH: &str = "/dev/fuse";
const GROUP: u8 = 229;

/// A descriptor of `/dev/fuse`. A request is answered on the one from which it was read.
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

/// Its answer is the number of the backing file.
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
    /// A device that no mount uses yet.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn open() -> Result<FuseDevice> {
        Ok(FuseDevice(rustix::fs::open(PATH, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// Another queue of answers for the same mount: two threads with one each do not contend.
    ///
    /// # Errors
    /// As `open(2)` and `ioctl(2)`: `EINVAL` before this one is mounted.
    pub fn another(&self) -> Result<FuseDevice> {
        let other = FuseDevice::open()?;
        let raw = self.0.as_raw_fd().cast_unsigned();
        // SAFETY: the kernel reads the number of a descriptor through the pointer.
        unsafe { ioctl::ioctl(&other, Setter::<{ opcode::read::<u32>(GROUP, 0) }, u32>::new(raw)) }?;
        Ok(other)
    }

    /// The same device under another number.
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn duplicate(&self) -> Result<FuseDevice> {
        self.0.try_clone().map(FuseDevice).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::MFILE))
    }

    /// Waits for a request; answers its length. One read yields one request.
    ///
    /// # Errors
    /// `ENODEV` when the mount is gone; `ENOENT` when a request was withdrawn meanwhile.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize> {
        retry_on_intr(|| rustix::io::read(&self.0, &mut *buffer))
    }

    /// Sends an answer, or a notice, in one piece.
    ///
    /// # Errors
    /// `ENOENT` when nobody waits for it any more; else as `write(2)`.
    pub fn send(&self, message: &[u8]) -> Result<()> {
        retry_on_intr(|| rustix::io::write(&self.0, message)).map(drop)
    }

    /// As [`send`](Self::send), of a message that lies in several places.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_pieces(&self, pieces: &[IoSlice<'_>]) -> Result<()> {
        retry_on_intr(|| rustix::io::writev(&self.0, pieces)).map(drop)
    }

    /// Registers a file that the kernel itself shall read and write.
    ///
    /// # Errors
    /// `EPERM` without privilege over the host, `ELOOP` for a file of a stack too deep; else as `ioctl(2)`.
    pub fn back(&self, file: impl AsFd) -> Result<u32> {
        let map = BackingMap { fd: file.as_fd().as_raw_fd(), flags: 0, padding: 0 };
        // SAFETY: as at `BackingOpen`.
        unsafe { ioctl::ioctl(&self.0, BackingOpen(map)) }
    }

    /// The number of a registered file stands for it no longer. Who has it open keeps it.
    ///
    /// # Errors
    /// As `ioctl(2)`.
    pub fn unback(&self, id: u32) -> Result<()> {
        // SAFETY: the kernel reads a number through the pointer.
        unsafe { ioctl::ioctl(&self.0, Setter::<{ opcode::write::<u32>(GROUP, 2) }, u32>::new(id)) }
    }
}
