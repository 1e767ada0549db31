//! Mounting FUSE and overlayfs, changing mounts and unmounting, by system call.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, StatxFlags};
use rustix::mount::{MountFlags, UnmountFlags};

use super::{Errno, FuseDevice, Result, effective_gid, effective_uid};

/// A FUSE mount to be made.
#[derive(Debug)]
pub struct FuseMount<'a> {
    /// The list of mounts shows this as the source.
    pub source: &'a str,
    /// The mount point.
    pub at: &'a Path,
    /// What the mount refuses.
    pub without: Without,
    /// The kernel checks permissions and allows all users; without this, only the mounting user has access.
    pub check_permissions: bool,
}

/// What a mount does not allow (`ro`, `nodev`, `nosuid`, `noexec`), and whether it updates access times (`noatime`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// Read-only.
    pub writing: bool,
    /// Device nodes cannot be opened.
    pub devices: bool,
    /// Set-id bits grant nothing.
    pub set_id: bool,
    /// Programs cannot be executed.
    pub execution: bool,
    /// Reading does not change access times.
    pub access_times: bool,
}

impl Without {
    fn flags(self) -> MountFlags {
        let flags = [
            (self.writing, MountFlags::RDONLY),
            (self.devices, MountFlags::NODEV),
            (self.set_id, MountFlags::NOSUID),
            (self.execution, MountFlags::NOEXEC),
            (self.access_times, MountFlags::NOATIME),
        ];
        flags.into_iter().filter(|(set, _)| *set).fold(MountFlags::empty(), |all, (_, flag)| all | flag)
    }
}

/// The step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum FuseMountError {
    Device(Errno),
    Mount(Errno),
}

impl FuseMount<'_> {
    /// Mounts, and returns the device on which the requests arrive.
    ///
    /// # Errors
    /// As `open(2)` of the device, and `mount(2)`; `EPERM` without privilege.
    pub fn mount(&self) -> Result<FuseDevice, FuseMountError> {
        let device = FuseDevice::open().map_err(FuseMountError::Device)?;
        let mut data = format!(
            "fd={},rootmode=40000,user_id={},group_id={}",
            device.as_fd().as_raw_fd(),
            effective_uid(),
            effective_gid()
        );
        if self.check_permissions {
            data.push_str(",allow_other,default_permissions");
        }
        let data = CString::new(data).map_err(|_| FuseMountError::Mount(Errno::INVAL))?;
        rustix::mount::mount(self.source, self.at, "fuse.overfuse", self.without.flags(), Some(&*data))
            .map_err(FuseMountError::Mount)?;
        Ok(device)
    }
}

/// Mounts the kernel's overlayfs, with `options` as mount(8) takes them: at most one page.
///
/// # Errors
/// As `mount(2)`: `EPERM` without privilege, `ENODEV` where the kernel has no overlayfs.
pub fn mount_overlay(options: &str, at: &Path) -> Result<()> {
    let options = CString::new(options).map_err(|_| Errno::INVAL)?;
    rustix::mount::mount("overlay", at, "overlay", MountFlags::empty(), Some(&*options))
}

/// What the FUSE mount with root `at` does not allow.
///
/// # Errors
/// As `statvfs(3)`; `EINVAL` when `at` is not on a FUSE file system.
pub fn fuse_mounted_without(at: &Path) -> Result<Without> {
    const FUSE: i64 = 0x6573_5546;
    if rustix::fs::statfs(at)?.f_type != FUSE {
        return Err(Errno::INVAL);
    }
    let flags = rustix::fs::statvfs(at)?.f_flag;
    Ok(Without {
        writing: flags.contains(StatVfsMountFlags::RDONLY),
        devices: flags.contains(StatVfsMountFlags::NODEV),
        set_id: flags.contains(StatVfsMountFlags::NOSUID),
        execution: flags.contains(StatVfsMountFlags::NOEXEC),
        access_times: flags.contains(StatVfsMountFlags::NOATIME),
    })
}

/// Whether `fd` refers to a file in a procfs.
///
/// # Errors
/// As `fstatfs(2)`.
pub fn is_on_proc(fd: impl AsFd) -> Result<bool> {
    Ok(rustix::fs::fstatfs(fd)?.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

/// Whether `fd` refers to a file in a devpts.
///
/// # Errors
/// As `fstatfs(2)`.
pub fn is_on_devpts(fd: impl AsFd) -> Result<bool> {
    Ok(rustix::fs::fstatfs(fd)?.f_type == DEVPTS)
}

/// As in `linux/magic.h`.
const DEVPTS: rustix::fs::FsWord = 0x1cd1;

/// The file systems whose files are views of the kernel and no data: procfs, sysfs, cgroup, cgroup2, devpts, mqueue,
/// debugfs, tracefs, securityfs, bpf, configfs, pstore, efivarfs.
const VIEWS: [rustix::fs::FsWord; 13] = [
    rustix::fs::PROC_SUPER_MAGIC,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    DEVPTS,
    0x1980_0202,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11,
    0x6265_6570,
    0x6165_676c,
    0xde5e_81e4,
];

/// Whether `fd` refers to a file that is a view of the kernel: its size is not the size of its content, and reading it
/// can wait or have effects.
///
/// # Errors
/// As `fstatfs(2)`.
pub fn is_view_of_kernel(fd: impl AsFd) -> Result<bool> {
    Ok(VIEWS.contains(&rustix::fs::fstatfs(fd)?.f_type))
}

/// Whether both descriptors refer to the same file or directory.
///
/// # Errors
/// As `fstat(2)`.
pub fn is_same_file(one: impl AsFd, other: impl AsFd) -> Result<bool> {
    let (one, other) = (rustix::fs::fstat(one)?, rustix::fs::fstat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

/// Whether both descriptors refer to files of the same file system.
///
/// # Errors
/// As `fstat(2)`.
pub fn is_on_same_device(one: impl AsFd, other: impl AsFd) -> Result<bool> {
    Ok(rustix::fs::fstat(one)?.st_dev == rustix::fs::fstat(other)?.st_dev)
}

/// Sets how far the kernel reads ahead on the file system with root `at`, in KiB. Sends that file system no request.
///
/// # Errors
/// As `statx(2)`, `open(2)` and `write(2)`: `EACCES` unless this process is the host's root.
pub fn set_read_ahead(at: &Path, kib: u32) -> Result<()> {
    let known = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let stat = rustix::fs::statx(CWD, at, known, StatxFlags::TYPE)?;
    let (major, minor) = (stat.stx_dev_major, stat.stx_dev_minor);
    let path = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
    let setting = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(setting, kib.to_string().as_bytes()).map(drop)
}

/// Whether users other than the one that mounted may use the FUSE mount at `at`, an absolute path without links.
///
/// # Errors
/// As reading `/proc/self/mountinfo`; `EINVAL` when nothing is mounted at `at`.
pub fn others_may_use(at: &Path) -> Result<bool> {
    let table = fs::read("/proc/self/mountinfo").map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    let at = at.as_os_str().as_bytes();
    // The last of several mounts at one place is on top.
    let line = table.split(|&b| b == b'\n').rfind(|line| {
        let place = line.split(|&b| b == b' ').nth(4);
        place.is_some_and(|place| unescaped(place) == at)
    });
    let options = line.ok_or(Errno::INVAL)?.rsplit(|&b| b == b' ').next().unwrap_or_default();
    Ok(options.split(|&b| b == b',').any(|option| option == b"allow_other"))
}

/// Undoes the kernel's escapes in a list of mounts: `\` and three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok();
        match (first, tail.get(..3).and_then(octal)) {
            (b'\\', Some(byte)) => {
                plain.push(byte);
                rest = &tail[3..];
            }
            _ => {
                plain.push(first);
                rest = tail;
            }
        }
    }
    plain
}

/// Changes what the mount with root `at` does not allow; this also applies to programs that already use it.
///
/// # Errors
/// As `mount(2)`: `EINVAL` when `at` is not the root of a mount, `EBUSY` when it becomes read-only while a file is open
/// for writing.
pub fn remount(at: &Path, without: Without) -> Result<()> {
    rustix::mount::mount_remount(at, without.flags(), c"")
}

/// Unmounts the topmost mount at `at`, without following a symbolic link; `lazily` also while it is in use.
///
/// # Errors
/// As `umount2(2)`.
pub fn unmount(at: &Path, lazily: bool) -> Result<()> {
    let detach = if lazily { UnmountFlags::DETACH } else { UnmountFlags::empty() };
    rustix::mount::unmount(at, detach | UnmountFlags::NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_in_a_list_of_mounts_are_undone() {
        for (text, plain) in
            [(&b"/a"[..], &b"/a"[..]), (b"/a\\040b\\134", b"/a b\\"), (b"/x\\04", b"/x\\04"), (b"", b"")]
        {
            assert_eq!(unescaped(text), plain);
        }
    }
}
