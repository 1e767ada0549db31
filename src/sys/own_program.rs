//! This program's own file, kept from whoever runs in a container: CVE-2019-5736.
//!
//! A container's first process is this program before it becomes the command, and an image can have it executed once more
//! (`/proc/self/exe`). So it is started again by a way on which its file cannot be changed: a read-only mount of it that
//! stands nowhere, or, where that is not to be had, a sealed copy in memory.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};

use super::{Channel, Detached, Errno, Namespaces, Reach, Refuse, Result, is_same_file, namespace, process};

const OWN: &CStr = c"/proc/self/exe";

/// Whether nobody can change the file that this process runs, by the way by which it runs it.
///
/// # Errors
/// As `open(2)`, where `/proc` is missing.
pub fn is_protected() -> Result<bool> {
    let own = rustix::fs::open(OWN, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    if rustix::fs::fstatvfs(&own)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    Ok(rustix::fs::fcntl_get_seals(&own).is_ok_and(|seals| seals.contains(SealFlags::WRITE)))
}

/// Starts this program again, protected, with the same arguments and environment. For a process with one thread.
///
/// # Errors
/// As `memfd_create(2)` and `execveat(2)`: there was no way.
pub fn execute_protected(args: &[CString], env: &[CString]) -> Result<Infallible> {
    let own = rustix::fs::open(OWN, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    for found in [read_only(&own).map(OwnedFd::from), read_only_by_child(&own)].into_iter().flatten() {
        // The next way may do.
        let Err(errno) = process::execute_file(found, args, env);
        tracing::debug!(%errno, "cannot start from a read-only mount");
    }
    process::execute_file(sealed_copy()?, args, env)
}

/// What needs `CAP_SYS_ADMIN` over this mount namespace.
fn read_only(own: impl AsFd) -> Result<Detached> {
    let mount = Detached::bind(own)?;
    mount.set(Refuse::WRITING, Reach::Tree)?;
    Ok(mount)
}

/// The same for an ordinary user, by a child that takes a user namespace to make the mount in, and ends.
fn read_only_by_child(own: impl AsFd) -> Result<OwnedFd> {
    let make = |channel: Channel| -> Result<()> {
        namespace::enter_new(Namespaces::USER.and(Namespaces::MOUNT))?;
        // Among this namespace's own mounts it has to be found by its name.
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
    // Before Linux 6.3 every memory file could be executed, and none was asked.
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
    fn a_sealed_copy_is_the_program_and_cannot_be_written() {
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
