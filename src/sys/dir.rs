//! Directories as descriptors; a path from one never leaves it.

use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{self as rfs, AtFlags, FlockOperation, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, StatxFlags};
use rustix::io::retry_on_intr;

use super::count::{Call, account, account_as};
use super::path_fd::{change_mode, change_own_mode, change_owner, change_times, proc_path, quietly};
use super::{Errno, File, FsStat, Kind, Name, NameBuf, PathFd, Result, SetTime, Stat};

/// The longest path that one system call takes, in bytes, including the final NUL.
const PATH_MAX: usize = 4096;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// An `O_PATH` descriptor of a directory.
///
/// Its methods take relative paths. They never follow a symbolic link and never leave the directory: a path that would
/// fails with `ELOOP` or `EXDEV`.
#[derive(Debug)]
pub struct Dir(OwnedFd);

/// One entry of a directory listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name.
    pub name: NameBuf,
    /// The inode number.
    pub ino: u64,
    /// What kind of file it is.
    pub kind: Kind,
}

/// What `rename` does with an existing target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    /// An existing target is replaced.
    Replace,
    /// Fails with `EEXIST` when the target exists.
    NoReplace,
    /// Both exist and change places.
    Exchange,
    /// Replaces, and puts a whiteout (character device 0/0) in the source's place in the same step.
    LeaveWhiteout,
}

impl From<OwnedFd> for Dir {
    fn from(fd: OwnedFd) -> Dir {
        Dir(fd)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Opening by a host path that only the caller chose: from the command line or inside the store.
impl Dir {
    /// Opens a directory of the host. Follows symbolic links, so a path from an image must never come here.
    ///
    /// # Errors
    /// As `open(2)`; `ENOTDIR` when it is not a directory.
    pub fn open_host(path: &Path) -> Result<Dir> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        account(Call::Open)?;
        rfs::open(path, flags, Mode::empty()).map(Dir)
    }
}

impl Dir {
    fn openat2(&self, path: &Path, flags: OFlags, mode: u32) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // TMPFILE includes the bit of DIRECTORY, so all its bits must be set.
        let changes = flags.intersects(OFlags::CREATE | OFlags::TRUNC) || flags.contains(OFlags::TMPFILE);
        // EAGAIN: a rename elsewhere raced with the kernel's check that the path stays beneath the directory.
        loop {
            account_as(Call::Open, changes)?;
            match rfs::openat2(&self.0, path, flags, Mode::from_raw_mode(mode), BENEATH) {
                Err(Errno::AGAIN | Errno::INTR) => continue,
                other => return other,
            }
        }
    }

    /// Opens the directory at `path` (one component or several, or `.`). The path may be longer than one system call
    /// takes.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open_dir(&self, path: impl AsRef<Path>) -> Result<Dir> {
        let (above, path) = self.nearer(path.as_ref())?;
        above.as_ref().unwrap_or(self).open_dir_at(path)
    }

    fn open_dir_at(&self, path: &Path) -> Result<Dir> {
        self.openat2(path, OFlags::PATH | OFlags::DIRECTORY, 0).map(Dir)
    }

    /// Splits a path that is too long for one system call: opens directories along `path` until the rest is short
    /// enough. Returns the last of them (`None` when `path` is short enough already) and the rest.
    fn nearer<'p>(&self, path: &'p Path) -> Result<(Option<Dir>, &'p Path)> {
        let (mut dir, mut rest) = (None::<Dir>, path);
        while rest.as_os_str().len() >= PATH_MAX {
            let bytes = rest.as_os_str().as_bytes();
            // When a single name is too long, the kernel reports it.
            let Some(cut) = bytes[..PATH_MAX].iter().rposition(|&b| b == b'/').filter(|cut| *cut > 0) else { break };
            let first = Path::new(OsStr::from_bytes(&bytes[..cut]));
            dir = Some(dir.as_ref().unwrap_or(self).open_dir_at(first)?);
            rest = Path::new(OsStr::from_bytes(&bytes[cut + 1..]));
        }
        Ok((dir, rest))
    }

    /// An `O_PATH` descriptor of the file at `path`, of any kind; a symbolic link is not followed.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open_path(&self, path: impl AsRef<Path>) -> Result<PathFd> {
        let (above, path) = self.nearer(path.as_ref())?;
        above.as_ref().unwrap_or(self).openat2(path, OFlags::PATH, 0).map(PathFd::from)
    }

    /// Opens the file at `path`; `mode` matters only with `OFlags::CREATE` and `OFlags::TMPFILE`.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open_file(&self, path: impl AsRef<Path>, flags: OFlags, mode: u32) -> Result<File> {
        // NONBLOCK: a fifo in the file's place must not block the caller.
        self.openat2(path.as_ref(), flags | OFlags::NONBLOCK, mode).map(File::from)
    }

    /// The attributes of `name`; a symbolic link is not followed.
    ///
    /// # Errors
    /// As `statx(2)`.
    pub fn stat(&self, name: Name<'_>) -> Result<Stat> {
        account(Call::Stat)?;
        rfs::statx(&self.0, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).map(Stat::from)
    }

    /// The directory's own attributes.
    ///
    /// # Errors
    /// As `fstat(2)`.
    pub fn stat_self(&self) -> Result<Stat> {
        account(Call::Stat)?;
        rfs::fstat(&self.0).map(Stat::from)
    }

    /// Statistics of the file system that holds the directory.
    ///
    /// # Errors
    /// As `fstatvfs(3)`.
    pub fn stat_fs(&self) -> Result<FsStat> {
        account(Call::StatFs)?;
        rfs::fstatvfs(&self.0).map(FsStat::from)
    }

    /// The target of the symbolic link `name`, exactly as stored.
    ///
    /// # Errors
    /// As `readlinkat(2)`.
    pub fn read_link(&self, name: Name<'_>) -> Result<OsString> {
        account(Call::Readlink)?;
        let target = rfs::readlinkat(&self.0, name.as_os_str(), Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// All entries except `.` and `..`, in the file system's order.
    ///
    /// # Errors
    /// As `open(2)` and `getdents64(2)`.
    pub fn entries(&self) -> Result<Vec<DirEntry>> {
        self.list(self.openat2(Path::new("."), OFlags::RDONLY | OFlags::DIRECTORY, 0)?)
    }

    /// As [`entries`](Self::entries), but leaves the access time unchanged where this process may do that.
    ///
    /// # Errors
    /// As [`entries`](Self::entries).
    pub fn entries_quietly(&self) -> Result<Vec<DirEntry>> {
        let open = |flags| self.openat2(Path::new("."), flags | OFlags::DIRECTORY, 0);
        self.list(quietly(OFlags::RDONLY, open)?)
    }

    /// As [`open_file`](Self::open_file) for an existing file; reading it leaves the access time unchanged where this
    /// process may do that.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open_file_quietly(&self, path: impl AsRef<Path>, flags: OFlags) -> Result<File> {
        quietly(flags, |flags| self.open_file(path.as_ref(), flags, 0))
    }

    fn list(&self, fd: OwnedFd) -> Result<Vec<DirEntry>> {
        let mut buffer = vec![MaybeUninit::uninit(); 64 << 10];
        let mut raw = RawDir::new(fd, &mut buffer);
        let mut entries = Vec::new();
        loop {
            if raw.is_buffer_empty() {
                account(Call::Getdents)?;
            }
            let Some(entry) = raw.next() else { break };
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let Ok(checked) = Name::new(name) else { continue };
            let kind = match entry.file_type() {
                // Some file systems do not report the type in a listing.
                rfs::FileType::Unknown => match self.stat(checked) {
                    Ok(stat) => stat.kind,
                    Err(Errno::NOENT) => continue,
                    Err(e) => return Err(e),
                },
                known => Kind::of_mode(known.as_raw_mode()),
            };
            entries.push(DirEntry { name: checked.to_owned(), ino: entry.ino(), kind });
        }
        Ok(entries)
    }

    /// # Errors
    /// As `mkdirat(2)`.
    pub fn make_dir(&self, name: Name<'_>, perm: u32) -> Result<()> {
        account(Call::Mkdir)?;
        rfs::mkdirat(&self.0, name.as_os_str(), Mode::from_raw_mode(perm))
    }

    /// Makes a device, fifo, socket or empty regular file. `rdev` is packed as `makedev` does.
    ///
    /// # Errors
    /// As `mknodat(2)`.
    pub fn make_node(&self, name: Name<'_>, kind: Kind, perm: u32, rdev: u64) -> Result<()> {
        account(Call::Mknod)?;
        rfs::mknodat(&self.0, name.as_os_str(), kind.to_file_type(), Mode::from_raw_mode(perm), rdev)
    }

    /// # Errors
    /// As `symlinkat(2)`.
    pub fn make_symlink(&self, name: Name<'_>, target: &OsStr) -> Result<()> {
        account(Call::Symlink)?;
        rfs::symlinkat(target, &self.0, name.as_os_str())
    }

    /// Makes `name` a hard link to `from` in `from_dir`. A symbolic link is linked itself, not its target.
    ///
    /// # Errors
    /// As `linkat(2)`.
    pub fn link_from(&self, from_dir: &Dir, from: Name<'_>, name: Name<'_>) -> Result<()> {
        account(Call::Link)?;
        rfs::linkat(&from_dir.0, from.as_os_str(), &self.0, name.as_os_str(), AtFlags::empty())
    }

    /// Gives an open file the name `name`; the file may have had none (`O_TMPFILE`).
    ///
    /// # Errors
    /// As `linkat(2)`.
    pub fn link_fd(&self, file: impl AsFd, name: Name<'_>) -> Result<()> {
        let from = proc_path(file.as_fd());
        account(Call::Link)?;
        rfs::linkat(rfs::CWD, from, &self.0, name.as_os_str(), AtFlags::SYMLINK_FOLLOW)
    }

    /// Moves `from` in this directory to `to` in `to_dir`.
    ///
    /// # Errors
    /// As `renameat2(2)`.
    pub fn rename(&self, from: Name<'_>, to_dir: &Dir, to: Name<'_>, how: Rename) -> Result<()> {
        let (from, to) = (from.as_os_str(), to.as_os_str());
        account(Call::Rename)?;
        let flags = match how {
            Rename::Replace => return rfs::renameat(&self.0, from, &to_dir.0, to),
            Rename::NoReplace => RenameFlags::NOREPLACE,
            Rename::Exchange => RenameFlags::EXCHANGE,
            Rename::LeaveWhiteout => RenameFlags::WHITEOUT,
        };
        rfs::renameat_with(&self.0, from, &to_dir.0, to, flags)
    }

    /// # Errors
    /// As `unlinkat(2)`.
    pub fn remove_file(&self, name: Name<'_>) -> Result<()> {
        account(Call::Unlink)?;
        rfs::unlinkat(&self.0, name.as_os_str(), AtFlags::empty())
    }

    /// # Errors
    /// As `unlinkat(2)` with `AT_REMOVEDIR`.
    pub fn remove_dir(&self, name: Name<'_>) -> Result<()> {
        account(Call::Unlink)?;
        rfs::unlinkat(&self.0, name.as_os_str(), AtFlags::REMOVEDIR)
    }

    /// Sets the permission bits of `name`, which must not be a symbolic link.
    ///
    /// # Errors
    /// As `chmod(2)`.
    pub fn set_perm(&self, name: Name<'_>, perm: u32) -> Result<()> {
        match change_mode(self.as_fd(), name.as_os_str(), perm, AtFlags::SYMLINK_NOFOLLOW) {
            Some(changed) => changed,
            None => self.open_path(name.as_os_str())?.set_perm(perm),
        }
    }

    /// Sets the owner of `name`; `None` leaves that id unchanged. A symbolic link is not followed.
    ///
    /// # Errors
    /// As `fchownat(2)`.
    pub fn set_owner(&self, name: Name<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        change_owner(self.as_fd(), name.as_os_str(), (uid, gid), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// # Errors
    /// As `utimensat(2)`.
    pub fn set_times(&self, name: Name<'_>, atime: SetTime, mtime: SetTime) -> Result<()> {
        change_times(self.as_fd(), name.as_os_str(), (atime, mtime), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Sets the permission bits of the directory itself.
    ///
    /// # Errors
    /// As `chmod(2)`.
    pub fn set_own_perm(&self, perm: u32) -> Result<()> {
        change_own_mode(self.as_fd(), perm)
    }

    /// Sets the owner of the directory itself; `None` leaves that id unchanged.
    ///
    /// # Errors
    /// As `fchownat(2)`.
    pub fn set_own_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        change_owner(self.as_fd(), OsStr::new(""), (uid, gid), AtFlags::EMPTY_PATH)
    }

    /// Sets the times of the directory itself.
    ///
    /// # Errors
    /// As `utimensat(2)`.
    pub fn set_own_times(&self, atime: SetTime, mtime: SetTime) -> Result<()> {
        change_times(self.as_fd(), OsStr::new(""), (atime, mtime), AtFlags::EMPTY_PATH)
    }

    /// A second descriptor of the directory, as a [`PathFd`].
    ///
    /// # Errors
    /// When no descriptor is free.
    pub fn to_path_fd(&self) -> Result<PathFd> {
        self.0.try_clone().map(PathFd::from).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::MFILE))
    }

    /// Checks that this process may make and remove entries.
    ///
    /// # Errors
    /// As `faccessat(2)`: `EROFS` on a read-only mount.
    pub fn may_change(&self) -> Result<()> {
        rfs::accessat(&self.0, c".", rfs::Access::WRITE_OK, AtFlags::empty())
    }

    /// Writes the directory's entries to the disk; not the contents of its files.
    ///
    /// # Errors
    /// As `fsync(2)`.
    pub fn sync(&self) -> Result<()> {
        let fd = self.openat2(Path::new("."), OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        account(Call::Sync)?;
        rfs::fsync(fd)
    }

    /// Writes all pending data of the directory's file system to the disk.
    ///
    /// # Errors
    /// As `syncfs(2)`.
    pub fn sync_filesystem(&self) -> Result<()> {
        let fd = self.openat2(Path::new("."), OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        account(Call::Sync)?;
        rfs::syncfs(fd)
    }

    /// Takes the directory's advisory lock. Dropping the returned file releases it.
    ///
    /// # Errors
    /// `EWOULDBLOCK` when another process holds it.
    pub fn lock(&self) -> Result<File> {
        let fd = self.openat2(Path::new("."), OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        retry_on_intr(|| rfs::flock(&fd, FlockOperation::NonBlockingLockExclusive))?;
        Ok(File::from(fd))
    }

    pub(super) fn xattr_path(&self, name: Name<'_>) -> Vec<u8> {
        let mut path = proc_path(self.as_fd()).into_bytes();
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
        path
    }
}
