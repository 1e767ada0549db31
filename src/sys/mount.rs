//! Mounting FUSE and unmounting, by system call.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags};

use super::{Errno, Result, effective_gid, effective_uid};

/// A FUSE mount to be made.
#[derive(Debug)]
pub struct FuseMount<'a> {
    /// Shown as the source.
    pub source: &'a str,
    pub at: &'a Path,
    pub read_only: bool,
    pub no_dev: bool,
    pub no_suid: bool,
    pub no_exec: bool,
    pub no_atime: bool,
    /// The kernel checks permissions, and lets other users in; else it lets in none but this one.
    pub check_permissions: bool,
}

/// Which step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FuseMountError {
    Device(Errno),
    Mount(Errno),
}

impl FuseMount<'_> {
    /// Mounts; the answer is the device on which requests come.
    ///
    /// # Errors
    /// As `open(2)` of the device, and `mount(2)`; `EPERM` without privilege.
    pub fn mount(&self) -> Result<OwnedFd, FuseMountError> {
        let device = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(FuseMountError::Device)?;
        let mut data = format!(
            "fd={},rootmode=40000,user_id={},group_id={}",
            device.as_raw_fd(),
            effective_uid(),
            effective_gid()
        );
        if self.check_permissions {
            data.push_str(",allow_other,default_permissions");
        }
        let data = CString::new(data).map_err(|_| FuseMountError::Mount(Errno::INVAL))?;
        let flags = [
            (self.read_only, MountFlags::RDONLY),
            (self.no_dev, MountFlags::NODEV),
            (self.no_suid, MountFlags::NOSUID),
            (self.no_exec, MountFlags::NOEXEC),
            (self.no_atime, MountFlags::NOATIME),
        ];
        let flags = flags.into_iter().filter(|(set, _)| *set).fold(MountFlags::empty(), |all, (_, flag)| all | flag);
        rustix::mount::mount(self.source, self.at, "fuse.overfuse", flags, Some(&*data))
            .map_err(FuseMountError::Mount)?;
        Ok(device)
    }
}

/// Unmounts what is mounted last at `at`, without following a symbolic link; `lazily` also while it is in use.
///
/// # Errors
/// As `umount2(2)`.
pub fn unmount(at: &Path, lazily: bool) -> Result<()> {
    let detach = if lazily { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    rustix::mount::unmount(at, detach | UnmountFlags::NOFOLLOW)
}
