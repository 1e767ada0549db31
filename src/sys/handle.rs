//! File handles: names of inodes that stay valid after renames.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd};

use super::count::{Call, account};
use super::{Dir, Errno, Name, OFlags, Result};

/// The result of `name_to_handle_at(2)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileHandle {
    /// The file system's encoding of `bytes`.
    pub kind: i32,
    /// The file system's own bytes, at most 128.
    pub bytes: Vec<u8>,
}

/// The handle of `name` in `dir`; a symbolic link is not followed.
///
/// # Errors
/// `EOPNOTSUPP` where the file system has no handles.
pub fn file_handle(dir: impl AsFd, name: Name<'_>) -> Result<FileHandle> {
    const ROOM: usize = 128;
    #[repr(C)]
    struct Handle {
        head: libc::file_handle,
        room: [u8; ROOM],
    }
    let name = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?;
    // SAFETY: all-zero bytes are a valid value of these plain integers.
    let mut handle: Handle = unsafe { std::mem::zeroed() };
    handle.head.handle_bytes = ROOM as u32;
    let mut mount_id = 0;
    account(Call::Handle)?;
    // SAFETY: the name is NUL-terminated, `handle` has the room that it declares, and both outlive the call.
    let status = unsafe {
        libc::name_to_handle_at(dir.as_fd().as_raw_fd(), name.as_ptr(), (&raw mut handle).cast(), &raw mut mount_id, 0)
    };
    if status != 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    let len = (handle.head.handle_bytes as usize).min(ROOM);
    Ok(FileHandle { kind: handle.head.handle_type, bytes: handle.room[..len].to_vec() })
}

/// The UUID of the file system of `dir`, or zeroes where it reports none.
///
/// # Errors
/// As `open(2)`.
pub fn filesystem_uuid(dir: &Dir) -> Result<[u8; 16]> {
    #[repr(C)]
    struct Uuid {
        len: u8,
        bytes: [u8; 16],
    }
    // FS_IOC_GETFSUUID, _IOR(0x15, 0, struct fsuuid2), since Linux 6.9.
    const GET_UUID: libc::c_ulong = 0x8011_1500;
    let fd = dir.open_file(".", OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
    let mut uuid = Uuid { len: 0, bytes: [0; 16] };
    // SAFETY: the kernel writes at most the 17 bytes of this struct.
    let status = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), GET_UUID as _, &raw mut uuid) };
    Ok(if status == 0 && uuid.len == 16 { uuid.bytes } else { [0; 16] })
}
