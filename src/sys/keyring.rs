//! The kernel's keys: what a process can read because whoever started it could.

use super::process::last_error;
use super::{Errno, Result};

/// As in `linux/keyctl.h`.
const JOIN_SESSION_KEYRING: libc::c_long = 1;

/// This process, and those that it starts, have a new and empty session keyring. Does nothing on a kernel without keys,
/// and where a filter of system calls forbids to use any.
///
/// # Errors
/// As `keyctl(2)`: `EDQUOT` when the user has too many keys.
pub fn join_new_session() -> Result<()> {
    // SAFETY: a null name asks for a keyring without one; nothing of ours is written.
    let status = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
    if status >= 0 {
        return Ok(());
    }
    match last_error() {
        Errno::NOSYS | Errno::PERM => Ok(()),
        errno => Err(errno),
    }
}
