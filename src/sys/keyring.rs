//! The kernel's keyrings: a process inherits the keys of the process that started it.

use super::process::last_error;
use super::{Errno, Result};

/// As in `linux/keyctl.h`.
const JOIN_SESSION_KEYRING: libc::c_long = 1;

/// Gives this process, and those that it starts later, a new and empty session keyring. Does nothing on a kernel
/// without keys, or where a seccomp filter forbids the call.
///
/// # Errors
/// As `keyctl(2)`: `EDQUOT` when the user has too many keys.
pub fn join_new_session() -> Result<()> {
    // SAFETY: a null name asks for an unnamed keyring; the kernel writes none of our memory.
    let status = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
    if status >= 0 {
        return Ok(());
    }
    match last_error() {
        Errno::NOSYS | Errno::PERM => Ok(()),
        errno => Err(errno),
    }
}
