//! Directories as descriptors; every step below one stays below it.

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

/// The longest path that one system call takes, in bytes, with the NUL behind it.
const PATH_MAX: usize = 4096;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// An `O_PATH` descriptor of a directory.
///
/// Paths given to its methods are relative, and are resolved without following a symbolic link and
/// without leaving the directory: a step that would answers `ELOOP` or `EXDEV`.
#[derive(Debug)]
pub struct Dir(OwnedFd);

/// One entry that a directory listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    pub name: NameBuf,
    pub ino: u64,
    pub kind: Kind,
}

/// What `rename` does with an existing target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    Replace,
    NoReplace,
    Exchange,
    /// Replaces, and leaves a character device 0/0 where the source was, at once.
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

/// A directory whose kernel path nobody but the caller chose: on the command line or in the store.
impl Dir {
    /// Opens a directory of the host. Follows symbolic links: never for a path from an image.
    ///
    /// # Errors
    /// As `open(2)`; `ENOTDIR` for what is no directory.
    pub fn open_host(path: &Path) -> Result<Dir> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        account(Call::Open)?;
        rfs::open(path, flags, Mode::empty()).map(Dir)
    }
}

impl Dir {
    fn openat2(&self, path: &Path, flags: OFlags, mode: u32) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // The bits of TMPFILE include that of DIRECTORY.
        let changes = flags.intersects(OFlags::CREATE | OFlags::TRUNC) || flags.contains(OFlags::TMPFILE);
        // EAGAIN: a rename elsewhere raced with the check that the walk stayed beneath.
        loop {
            account_as(Call::Open, changes)?;
            match rfs::openat2(&self.0, path, flags, Mode::from_raw_mode(mode), BENEATH) {
                Err(Errno::AGAIN | Errno::INTR) => continue,
                other => return other,
            }
        }
    }

    /// The directory at `path` (one component or several, or `.`), which may be longer than the kernel takes.
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

    /// Trees can be deeper than a path is long. Goes as far down `path` as what is left needs to be short enough for one
    /// call; `None` where it is.
    fn nearer<'p>(&self, path: &'p Path) -> Result<(Option<Dir>, &'p Path)> {
        let (mut dir, mut rest) = (None::<Dir>, path);
        while rest.as_os_str().len() >= PATH_MAX {
            let bytes = rest.as_os_str().as_bytes();
            // Where one name is too long, the kernel says so.
            let Some(cut) = bytes[..PATH_MAX].iter().rposition(|&b| b == b'/').filter(|cut| *cut > 0) else { break };
            let first = Path::new(OsStr::from_bytes(&bytes[..cut]));
            dir = Some(dir.as_ref().unwrap_or(self).open_dir_at(first)?);
            rest = Path::new(OsStr::from_bytes(&bytes[cut + 1..]));
        }
        Ok((dir, rest))
    }

    /// An `O_PATH` descriptor of whatever is at `path`, a symbolic link included.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open_path(&self, path: impl AsRef<Path>) -> Result<PathFd> {
        let (above, path) = self.nearer(path.as_ref())?;
        above.as_ref().unwrap_or(self).openat2(path, OFlags::PATH, 0).map(PathFd::from)
    }

    /// Opens the file at `path`; `mode` counts with `OFlags::CREATE` and `OFlags::TMPFILE`.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open_file(&self, path: impl AsRef<Path>, flags: OFlags, mode: u32) -> Result<File> {
        // NONBLOCK: a fifo that stands where a file was must not hang the caller.
        self.openat2(path.as_ref(), flags | OFlags::NONBLOCK, mode).map(File::from)
    }

    /// What is at `name`, itself and not what it points to.
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

    /// The file system that holds the directory.
    ///
    /// # Errors
    /// As `fstatvfs(3)`.
    pub fn stat_fs(&self) -> Result<FsStat> {
        account(Call::StatFs)?;
        rfs::fstatvfs(&self.0).map(FsStat::from)
    }

    /// Target of the symbolic link `name`, as it is written.
    ///
    /// # Errors
    /// As `readlinkat(2)`.
    pub fn read_link(&self, name: Name<'_>) -> Result<OsString> {
        account(Call::Readlink)?;
        let target = rfs::readlinkat(&self.0, name.as_os_str(), Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// All entries but `.` and `..`, in the file system's order.
    ///
    /// # Errors
    /// As `open(2)` for reading and `getdents64(2)`.
    pub fn entries(&self) -> Result<Vec<DirEntry>> {
        self.list(self.openat2(Path::new("."), OFlags::RDONLY | OFlags::DIRECTORY, 0)?)
    }

    /// As [`entries`](Self::entries); the time of the last access stays as it is where this process may have that.
    ///
    /// # Errors
    /// As [`entries`](Self::entries).
    pub fn entries_quietly(&self) -> Result<Vec<DirEntry>> {
        let open = |flags| self.openat2(Path::new("."), flags | OFlags::DIRECTORY, 0);
        self.list(quietly(OFlags::RDONLY, open)?)
    }

    /// As [`open_file`](Self::open_file) of an existing file; reading it leaves the time of the last access
    /// as it is where this process may have that.
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
                // Some file systems leave the type out of their directories.
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

    /// A device, fifo, socket or empty regular file. `rdev` is packed as `makedev` does.
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

    /// A second name for `from` in `from_dir`; a symbolic link is linked itself.
    ///
    /// # Errors
    /// As `linkat(2)`.
    pub fn link_from(&self, from_dir: &Dir, from: Name<'_>, name: Name<'_>) -> Result<()> {
        account(Call::Link)?;
        rfs::linkat(&from_dir.0, from.as_os_str(), &self.0, name.as_os_str(), AtFlags::empty())
    }

    /// A name for an open file that may have none (`O_TMPFILE`).
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

    /// Permission bits of `name`; not for symbolic links, which have none.
    ///
    /// # Errors
    /// As `chmod(2)`.
    pub fn set_perm(&self, name: Name<'_>, perm: u32) -> Result<()> {
        match change_mode(self.as_fd(), name.as_os_str(), perm, AtFlags::SYMLINK_NOFOLLOW) {
            Some(changed) => changed,
            None => self.open_path(name.as_os_str())?.set_perm(perm),
        }
    }

    /// `None` leaves that id as it is.
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

    /// Permission bits of the directory itself.
    ///
    /// # Errors
    /// As `chmod(2)`.
    pub fn set_own_perm(&self, perm: u32) -> Result<()> {
        change_own_mode(self.as_fd(), perm)
    }

    /// Of the directory itself.
    ///
    /// # Errors
    /// As `fchownat(2)`.
    pub fn set_own_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        change_owner(self.as_fd(), OsStr::new(""), (uid, gid), AtFlags::EMPTY_PATH)
    }

    /// Of the directory itself.
    ///
    /// # Errors
    /// As `utimensat(2)`.
    pub fn set_own_times(&self, atime: SetTime, mtime: SetTime) -> Result<()> {
        change_times(self.as_fd(), OsStr::new(""), (atime, mtime), AtFlags::EMPTY_PATH)
    }

    /// The directory itself as a [`PathFd`].
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn to_path_fd(&self) -> Result<PathFd> {
        self.0.try_clone().map(PathFd::from).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::MFILE))
    }

    /// Writes what the directory holds to the disk (its names, not its files).
    ///
    /// # Errors
    /// As `fsync(2)`.
    pub fn sync(&self) -> Result<()> {
        let fd = self.openat2(Path::new("."), OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        account(Call::Sync)?;
        rfs::fsync(fd)
    }

    /// Writes all that the file system of the directory holds to the disk.
    ///
    /// # Errors
    /// As `syncfs(2)`.
    pub fn sync_filesystem(&self) -> Result<()> {
        let fd = self.openat2(Path::new("."), OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
        account(Call::Sync)?;
        rfs::syncfs(fd)
    }

    /// Takes the advisory lock of the directory for as long as the answer lives.
    ///
    /// # Errors
    /// `EWOULDBLOCK` when somebody else holds it.
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
