//! Filters of system calls: giving one to the kernel.

use seccompiler::sock_filter;

use super::process::last_error;
use super::{Errno, Result};

/// As in `linux/seccomp.h`.
const SET_MODE_FILTER: libc::c_ulong = 1;

/// As `seccomp(2)` takes a program.
#[repr(C)]
struct Program {
    len: libc::c_ushort,
    filter: *const sock_filter,
}

/// This process, and those that it starts, are held to `filter` from now on.
///
/// # Errors
/// As `seccomp(2)`: `EACCES` without `CAP_SYS_ADMIN`, unless this process gains no privileges; `EINVAL` for a program
/// that is none.
pub fn install(filter: &[sock_filter]) -> Result<()> {
    let len = libc::c_ushort::try_from(filter.len()).map_err(|_| Errno::INVAL)?;
    let program = Program { len, filter: filter.as_ptr() };
    // SAFETY: the instructions are laid out as the kernel's, their number is told, and they outlive the call.
    let status = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, 0, &raw const program) };
    if status == 0 { Ok(()) } else { Err(last_error()) }
}
