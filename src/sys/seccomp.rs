//! Seccomp filters: installing one.

use seccompiler::sock_filter;

use super::process::last_error;
use super::{Errno, Result};

/// As in `linux/seccomp.h`.
const SET_MODE_FILTER: libc::c_ulong = 1;

/// The kernel's `struct sock_fprog`.
#[repr(C)]
struct Program {
    len: libc::c_ushort,
    filter: *const sock_filter,
}

/// Installs `filter` for this process and those that it starts later. It cannot be removed.
///
/// # Errors
/// As `seccomp(2)`: `EACCES` without `CAP_SYS_ADMIN` unless this process has given up gaining privileges; `EINVAL` for
/// an invalid program.
pub fn install(filter: &[sock_filter]) -> Result<()> {
    let len = libc::c_ushort::try_from(filter.len()).map_err(|_| Errno::INVAL)?;
    let program = Program { len, filter: filter.as_ptr() };
    // SAFETY: the instructions have the kernel's layout, the call gets their number, and they outlive the call.
    let status = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, &raw const program) };
    if status == 0 { Ok(()) } else { Err(last_error()) }
}
