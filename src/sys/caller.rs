//! A thread of another process that waits for this process to answer its system call: its memory, and the files that
//! its paths name.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{self as rfs, CWD, Mode, OFlags};
use rustix::io::retry_on_intr;

use super::process::{change_root, last_error};
use super::{Errno, PathFd, Result, page_size};

/// The longest path, with its NUL, in bytes.
const PATH_MAX: usize = 4096;

/// The `/proc` of this process's PID namespace, which stays reachable after a change of root.
#[derive(Debug)]
pub struct Proc(OwnedFd);

/// A thread whose system call this process answers. See the module.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    proc: &'a Proc,
    id: u32,
}

/// Where a relative path begins, as the `*at` calls take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The caller's working directory.
    WorkingDir,
    /// An open directory of the caller.
    Descriptor(u32),
}

impl Start {
    /// From the first argument of an `*at` call.
    ///
    /// # Errors
    /// `EBADF` for a number that no descriptor has.
    pub fn of_argument(argument: u64) -> Result<Start> {
        match argument as i32 {
            libc::AT_FDCWD => Ok(Start::WorkingDir),
            number => u32::try_from(number).map(Start::Descriptor).map_err(|_| Errno::BADF),
        }
    }
}

impl Proc {
    /// # Errors
    /// As `open(2)`.
    pub fn open() -> Result<Proc> {
        rfs::open("/proc", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map(Proc)
    }

    /// The thread that has the number `id` in this process's PID namespace.
    pub fn caller(&self, id: u32) -> Caller<'_> {
        Caller { proc: self, id }
    }
}

impl Caller<'_> {
    /// Reads `into.len()` bytes of the caller's memory.
    ///
    /// # Errors
    /// `EFAULT` when the caller could not read them itself; as `process_vm_readv(2)`.
    pub fn read(&self, address: u64, into: &mut [u8]) -> Result<()> {
        let here = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
        let there = libc::iovec { iov_base: address as usize as *mut libc::c_void, iov_len: into.len() };
        // SAFETY: `here` is our buffer with its length. The kernel checks the other process's addresses.
        let read = unsafe { libc::process_vm_readv(self.pid()?, &raw const here, 1, &raw const there, 1, 0) };
        whole(read, into.len())
    }

    /// Writes `bytes` to the caller's memory.
    ///
    /// # Errors
    /// `EFAULT` when the caller could not write there itself; as `process_vm_writev(2)`.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let here = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let there = libc::iovec { iov_base: address as usize as *mut libc::c_void, iov_len: bytes.len() };
        // SAFETY: the call only reads our buffer, whose length it gets. The kernel checks the other process's addresses.
        let written = unsafe { libc::process_vm_writev(self.pid()?, &raw const here, 1, &raw const there, 1, 0) };
        whole(written, bytes.len())
    }

    /// Reads the NUL-terminated path at `address`.
    ///
    /// # Errors
    /// As [`read`](Self::read); `ENAMETOOLONG`.
    pub fn read_path(&self, mut address: u64) -> Result<OsString> {
        let page = u64::from(page_size());
        let mut path = Vec::new();
        while path.len() < PATH_MAX {
            // Up to the end of a page: the next may be missing.
            let len = (page - address % page).min((PATH_MAX - path.len()) as u64);
            let mut piece = vec![0; len as usize];
            self.read(address, &mut piece)?;
            if let Some(end) = piece.iter().position(|&byte| byte == 0) {
                path.extend_from_slice(&piece[..end]);
                return Ok(OsString::from_vec(path));
            }
            path.extend_from_slice(&piece);
            address = address.checked_add(len).ok_or(Errno::FAULT)?;
        }
        Err(Errno::NAMETOOLONG)
    }

    /// The file that `path` names for the caller, which has its own root and working directory. An empty path is
    /// `start` itself. With `follow`, a link at the end is followed.
    ///
    /// Makes the caller's root this process's root, so that no link leads elsewhere. Called again for another caller,
    /// it changes again. The process must have one thread.
    ///
    /// # Errors
    /// As `open(2)`; `EBADF` for a descriptor that the caller does not have.
    pub fn resolve(&self, start: Start, path: &OsStr, follow: bool) -> Result<PathFd> {
        let begin = || match start {
            Start::WorkingDir => self.link("cwd"),
            Start::Descriptor(number) => self.descriptor(number),
        };
        if path.is_empty() {
            return begin();
        }
        // `/proc/self` is the reader: it must be the caller, not this process.
        if follow && let Some(number) = own_descriptor(path) {
            return self.descriptor(number);
        }
        change_root(self.link("root")?)?;
        if !Path::new(path).has_root() {
            rustix::process::fchdir(begin()?)?;
        }
        let flags = if follow { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
        retry_on_intr(|| rfs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())).map(PathFd::from)
    }

    /// An open file of the caller.
    ///
    /// # Errors
    /// `EBADF` when there is none with that number.
    pub fn descriptor(&self, number: u32) -> Result<PathFd> {
        self.link(&format!("fd/{number}")).map_err(|error| if error == Errno::NOENT { Errno::BADF } else { error })
    }

    /// The root directory of the caller.
    ///
    /// # Errors
    /// As `open(2)`.
    pub fn root(&self) -> Result<PathFd> {
        self.link("root")
    }

    /// The permission bits that the caller's new files do not get.
    ///
    /// # Errors
    /// As `open(2)` and `read(2)`.
    pub fn umask(&self) -> Result<u32> {
        let file = rfs::openat(&self.proc.0, format!("{}/status", self.id), OFlags::CLOEXEC, Mode::empty())?;
        let text = std::io::read_to_string(fs::File::from(file));
        let text = text.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let umask = text.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap_or("");
        Ok(u32::from_str_radix(umask.trim(), 8).unwrap_or(0))
    }

    /// The number that [`leave_mark`](Self::leave_mark) left with the caller's process, or that the process inherited;
    /// `None` without one.
    ///
    /// # Errors
    /// As `prlimit(2)`.
    pub fn mark(&self) -> Result<Option<u32>> {
        let limit = self.limit(None)?;
        Ok(limit.rlim_cur.checked_sub(MARK).and_then(|mark| u32::try_from(mark).ok()))
    }

    /// Leaves a number with the caller's process. Those that it starts inherit it, whatever they execute.
    ///
    /// It is kept in the soft limit of the resident set size, which Linux does not enforce (setrlimit(2)).
    ///
    /// # Errors
    /// As `prlimit(2)`: `EINVAL` when the hard limit is lower than any number.
    pub fn leave_mark(&self, mark: Option<u32>) -> Result<()> {
        let now = self.limit(None)?;
        let rlim_cur = mark.map_or(now.rlim_max, |mark| MARK + u64::from(mark));
        self.limit(Some(libc::rlimit { rlim_cur, rlim_max: now.rlim_max })).map(drop)
    }

    fn limit(&self, new: Option<libc::rlimit>) -> Result<libc::rlimit> {
        let new = new.as_ref().map_or(std::ptr::null(), |limit| &raw const *limit);
        let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `new` is null or points to a limit, `old` is ours to write, and both outlive the call.
        let status = unsafe { libc::prlimit(self.pid()?, libc::RLIMIT_RSS, new, &raw mut old) };
        if status == 0 { Ok(old) } else { Err(last_error()) }
    }

    fn link(&self, name: &str) -> Result<PathFd> {
        let path = format!("{}/{name}", self.id);
        rfs::openat(&self.proc.0, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map(PathFd::from)
    }

    fn pid(&self) -> Result<libc::pid_t> {
        libc::pid_t::try_from(self.id).map_err(|_| Errno::SRCH)
    }
}

/// No one asks for a limit of about eight exbibytes; the lower half holds the number.
const MARK: u64 = 0x7669_7274_0000_0000;

fn whole(done: isize, wanted: usize) -> Result<()> {
    match usize::try_from(done) {
        Ok(done) if done == wanted => Ok(()),
        Ok(_) => Err(Errno::FAULT),
        Err(_) => Err(last_error()),
    }
}

/// The number in the usual names of a process's own open files.
fn own_descriptor(path: &OsStr) -> Option<u32> {
    match path.as_bytes() {
        b"/dev/stdin" => Some(0),
        b"/dev/stdout" => Some(1),
        b"/dev/stderr" => Some(2),
        bytes => {
            let number = ["/proc/self/fd/", "/dev/fd/"].iter().find_map(|dir| bytes.strip_prefix(dir.as_bytes()))?;
            std::str::from_utf8(number).ok()?.parse().ok()
        }
    }
}
