//! Calls about files, on behalf of a caller: `chown` and `mknod`.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use super::calls::Call;
use super::identity::{Identity, Owner};
use super::recorder::Request;
use crate::sys::seccomp::{Handed, Listener};
use crate::sys::{Caller, Channel, Dir, Errno, Name, PathFd, Result, Start};

/// Flags of fchownat(2), as in `linux/fcntl.h`.
const NO_FOLLOW: u32 = 0x100;
const EMPTY_PATH: u32 = 0x1000;

/// Who asks, and whom to ask.
#[derive(Debug)]
pub(super) struct Files<'a> {
    pub(super) listener: &'a Listener,
    pub(super) call: &'a Handed,
    pub(super) caller: Caller<'a>,
    pub(super) identity: &'a Identity,
    /// The number of the file system of the container's root.
    pub(super) device: u64,
    pub(super) requests: &'a Channel,
}

impl Files<'_> {
    /// Performs a call that changes an owner or makes a device.
    ///
    /// # Errors
    /// As the call.
    pub(super) fn perform(&self, call: Call) -> Result<()> {
        let [a, b, c, d, e, _] = self.call.args;
        let here = Start::WorkingDir;
        match call {
            Call::Chown => self.chown(self.named(here, a, true)?, Owner::of_arguments(b, c)),
            Call::Lchown => self.chown(self.named(here, a, false)?, Owner::of_arguments(b, c)),
            Call::Fchown => {
                let number = u32::try_from(a as i32).map_err(|_| Errno::BADF)?;
                self.chown(self.caller.descriptor(number)?, Owner::of_arguments(b, c))
            }
            Call::Fchownat => {
                let flags = e as u32;
                let path = self.caller.read_path(b)?;
                if flags & !(NO_FOLLOW | EMPTY_PATH) != 0 {
                    return Err(Errno::INVAL);
                }
                if path.is_empty() && flags & EMPTY_PATH == 0 {
                    return Err(Errno::NOENT);
                }
                let file = self.caller.resolve(Start::of_argument(a)?, &path, flags & NO_FOLLOW == 0)?;
                self.chown(file, Owner::of_arguments(c, d))
            }
            Call::Mknod => self.mknod(here, a, b as u32, c as u32),
            Call::Mknodat => self.mknod(Start::of_argument(a)?, b, c as u32, d as u32),
            _ => Err(Errno::NOSYS),
        }
    }

    /// The file that the path at `address` names.
    fn named(&self, start: Start, address: u64, follow: bool) -> Result<PathFd> {
        let path = self.caller.read_path(address)?;
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        self.caller.resolve(start, &path, follow)
    }

    /// What was found so far is really about the caller, and not about a process with its number.
    fn is_sure(&self) -> Result<()> {
        if self.listener.still_waits(self.call) { Ok(()) } else { Err(Errno::SRCH) }
    }

    fn chown(&self, file: PathFd, to: Owner) -> Result<()> {
        self.is_sure()?;
        let stat = file.stat()?;
        let is_ours = stat.dev == self.device;
        let owner = || if is_ours { Request::Owner { node: stat.ino }.send(self.requests) } else { Ok((0, 0)) };
        self.identity.may_give(owner, to)?;
        // The kernel does what it does at any change of the owner: refuses it on a read-only mount, takes set-id bits.
        file.set_owner(None, None)?;
        if is_ours {
            Request::SetOwner { node: stat.ino, uid: to.uid, gid: to.gid }.send(self.requests)?;
        }
        Ok(())
    }

    fn mknod(&self, start: Start, address: u64, mode: u32, device: u32) -> Result<()> {
        let path = self.caller.read_path(address)?;
        let umask = self.caller.umask()?;
        if self.identity.users.effective != 0 {
            return Err(Errno::PERM);
        }
        let (dir, name) = split(&path)?;
        let dir = self.caller.resolve(start, dir, true)?;
        self.is_sure()?;
        let stat = dir.stat()?;
        let dir = Dir::from(OwnedFd::from(dir));
        match dir.stat(name) {
            Err(Errno::NOENT) => {}
            other => return Err(other.err().unwrap_or(Errno::EXIST)),
        }
        dir.may_change()?;
        if stat.dev != self.device {
            return Err(Errno::PERM);
        }
        let owner = (self.identity.users.file, self.identity.groups.file);
        let (rdev, name) = (u64::from(device), name.as_os_str().to_owned());
        Request::MakeDevice { dir: stat.ino, name, mode, umask, rdev, owner }.send(self.requests)?;
        Ok(())
    }
}

/// Splits a path into the directory and the name of a new file in it.
fn split(path: &OsStr) -> Result<(&OsStr, Name<'_>)> {
    let bytes = path.as_bytes();
    if bytes.is_empty() || bytes.ends_with(b"/") {
        return Err(Errno::NOENT);
    }
    let at = bytes.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    let (dir, name) = bytes.split_at(at);
    let dir = if dir.is_empty() { b".".as_slice() } else { dir };
    // Names that cannot be made exist.
    let name = Name::new(OsStr::from_bytes(name)).map_err(|_| Errno::EXIST)?;
    Ok((OsStr::from_bytes(dir), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_is_separated_from_its_directory() {
        for (path, expected) in [
            ("null", Ok((".", "null"))),
            ("/null", Ok(("/", "null"))),
            ("/dev/null", Ok(("/dev/", "null"))),
            ("../a//b", Ok(("../a//", "b"))),
            ("", Err(Errno::NOENT)),
            ("a/", Err(Errno::NOENT)),
            ("a/..", Err(Errno::EXIST)),
            (".", Err(Errno::EXIST)),
        ] {
            let split = split(OsStr::new(path)).map(|(dir, name)| (dir.to_str().unwrap(), name.as_os_str()));
            assert_eq!(split, expected.map(|(dir, name)| (dir, OsStr::new(name))), "{path}");
        }
    }
}
