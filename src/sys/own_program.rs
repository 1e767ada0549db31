//! Protects this program's own file from the processes of a container (CVE-2019-5736).
//!
//! The first process of a container runs this program before it executes the container's command. An image can make it
//! execute `/proc/self/exe`, which is this program again, and so reach the file on the host. Therefore this program
//! restarts itself from a descriptor through which the file cannot be changed: of a read-only mount that is not
//! attached anywhere, or else of a sealed copy in memory.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};

use super::{Channel, Detached, Errno, Namespaces, Reach, Refuse, Result, is_same_file, namespace, process};

const OWN: &CStr = c"/proc/self/exe";

/// Whether the running program's file is protected: opened through a read-only mount, or sealed against writes.
///
/// # Errors
/// As `open(2)`; it fails when `/proc` is missing.
pub fn is_protected() -> Result<bool> {
    let own = rustix::fs::open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    if rustix::fs::fstatvfs(&own)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    Ok(rustix::fs::fcntl_get_seals(&own).is_ok_and(|seals| seals.contains(SealFlags::WRITE)))
}

/// Executes this program again from a protected file, with these arguments and environment. The process must have one
/// thread.
///
/// # Errors
/// As `memfd_create(2)` and `execveat(2)`, when no way worked.
pub fn execute_protected(args: &[CString], env: &[CString]) -> Result<Infallible> {
    let own = rustix::fs::open(OWN, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    for found in [read_only(&own).map(OwnedFd::from), read_only_by_child(&own)].into_iter().flatten() {
        // Try the next way.
        let Err(errno) = process::execute_file(found, args, env);
        tracing::debug!(%errno, "cannot start from a read-only mount");
    }
    process::execute_file(sealed_copy()?, args, env)
}

/// A read-only mount of `own`. Needs `CAP_SYS_ADMIN` over this mount namespace.
fn read_only(own: impl AsFd) -> Result<Detached> {
    let mount = Detached::bind(own)?;
    mount.set(Refuse::WRITING, Reach::Tree)?;
    Ok(mount)
}

/// A read-only mount for an ordinary user: a child makes it in a new user namespace, sends it back and exits.
fn read_only_by_child(own: impl AsFd) -> Result<OwnedFd> {
    let make = |channel: Channel| -> Result<()> {
        namespace::enter_new(Namespaces::USER.and(Namespaces::MOUNT))?;
        // The new mount namespace can clone only its own mounts, so the file must be opened there again by name.
        let path = fs::read_link("/proc/self/exe").map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        let found = by_path(&path)?;
        if !is_same_file(&found, &own)? {
            return Err(Errno::STALE);
        }
        channel.send(b"mount", Some(read_only(found)?.as_fd()))
    };
    let (child, channel) = process::spawn_connected(Namespaces::empty(), |channel| i32::from(make(channel).is_err()))?;
    let sent = channel.receive();
    child.wait()?;
    sent?.and_then(|(_, fd)| fd).ok_or(Errno::PERM)
}

fn by_path(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn sealed_copy() -> Result<OwnedFd> {
    let own = rustix::fs::open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Before Linux 6.3 every memory file is executable, and the flag EXEC is unknown.
    let copy = match rustix::fs::memfd_create(c"overfuse", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(c"overfuse", flags)?,
        other => other?,
    };
    let size = rustix::fs::fstat(&own)?.st_size.unsigned_abs();
    let mut left = usize::try_from(size).map_err(|_| Errno::FBIG)?;
    while left > 0 {
        match rustix::fs::sendfile(&copy, &own, None, left)? {
            0 => return Err(Errno::IO),
            sent => left = left.saturating_sub(sent),
        }
    }
    rustix::fs::fcntl_add_seals(&copy, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_sealed_copy_of_the_program_cannot_be_written() {
        let copy = sealed_copy().unwrap();
        let size = fs::metadata("/proc/self/exe").unwrap().len();
        assert_eq!(rustix::fs::fstat(&copy).unwrap().st_size.unsigned_abs(), size);
        assert_eq!(rustix::io::pwrite(&copy, b"x", 0), Err(Errno::PERM));
        let again = rustix::fs::open(
            format!("/proc/self/fd/{}", copy.as_raw_fd()),
            OFlags::WRONLY | OFlags::TRUNC,
            Mode::empty(),
        );
        assert_eq!(again.err(), Some(Errno::PERM));
    }
}
