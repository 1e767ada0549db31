//! Operations below a mount point. Each logs its outcome, so that two mounts can be compared.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::fs::{
    self as rfs, AtFlags, CWD, FallocateFlags, FileType, Mode, RenameFlags, Timespec, Timestamps, XattrFlags,
};
use rustix::io::Errno;

use super::tree::{word, xattrs};

/// The result of an operation: the data that it read (`ok` if none), or the name of its errno.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome(pub String);

impl Outcome {
    /// Fails unless the outcome is `expected`.
    #[track_caller]
    pub fn gives(self, expected: &str) {
        assert_eq!(self.0, expected);
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A mount point, and the log of the operations below it.
#[derive(Debug)]
pub struct At {
    root: PathBuf,
    log: Arc<Mutex<Vec<String>>>,
}

impl At {
    pub fn new(root: &Path) -> At {
        At { root: root.into(), log: Arc::default() }
    }

    /// The path on the host of `path` below the mount point.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Runs `operations` as another user without capabilities; the caller must be root.
    ///
    /// Changes the ids of the calling thread only. That user may have no access to the scratch directory, so paths
    /// start at a descriptor.
    pub fn as_user(&self, uid: u32, gid: u32, operations: impl FnOnce(&At)) {
        let root = File::open(&self.root).expect("open the mount point");
        let at = At { root: format!("/proc/self/fd/{}", root.as_raw_fd()).into(), log: self.log.clone() };
        let become_user = |uid, gid| {
            // SAFETY: both calls take only numbers and change only the calling thread.
            unsafe {
                libc::setfsgid(gid);
                libc::setfsuid(uid);
            }
        };
        become_user(uid, gid);
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| operations(&at)));
        become_user(0, 0);
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    }

    /// As [`At::as_user`], with `groups` as supplementary groups.
    pub fn as_member(&self, uid: u32, gid: u32, groups: &[u32], operations: impl FnOnce(&At)) {
        // SAFETY: the raw system call changes only the calling thread; the C library's wrapper changes all.
        let become_member = |groups: &[u32]| unsafe {
            libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr());
        };
        become_member(groups);
        // A user namespace whose ids newgidmap has mapped allows this too.
        self.as_user(uid, gid, operations);
        become_member(&[0]);
    }

    /// Every operation and its outcome, one line each.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("no test thread panics while logging").clone()
    }

    /// Logs the outcome of an operation that has no method here.
    pub fn note(&self, what: impl fmt::Display, result: io::Result<impl Into<String>>) -> Outcome {
        let outcome = Outcome(match result {
            Ok(read) => Some(read.into()).filter(|read: &String| !read.is_empty()).unwrap_or("ok".into()),
            Err(error) => errno_name(&error),
        });
        self.log.lock().expect("no test thread panics while logging").push(format!("{what}: {outcome}"));
        outcome
    }

    fn done(&self, what: impl fmt::Display, result: Result<(), Errno>) -> Outcome {
        self.note(what, result.map(|()| "").map_err(io::Error::from))
    }

    fn open(&self, path: &str, options: &OpenOptions) -> io::Result<File> {
        options.open(self.path(path))
    }

    // Reading.

    pub fn read(&self, path: &str) -> Outcome {
        self.note(format_args!("read {path}"), fs::read(self.path(path)).map(|content| word(&content)))
    }

    /// The sorted names, with their types marked as `ls -F` does.
    pub fn list(&self, path: &str) -> Outcome {
        let list = || {
            let mut names = Vec::new();
            for entry in fs::read_dir(self.path(path))? {
                let entry = entry?;
                let kind = entry.file_type()?;
                let sign = if kind.is_dir() {
                    "/"
                } else if kind.is_symlink() {
                    "@"
                } else {
                    ""
                };
                names.push(format!("{}{sign}", entry.file_name().display()));
            }
            names.sort();
            Ok(names.join(" "))
        };
        self.note(format_args!("list {path}"), list())
    }

    /// The type, mode and owner; for anything but a directory also the size and link count.
    pub fn stat(&self, path: &str) -> Outcome {
        let stat = fs::symlink_metadata(self.path(path)).map(|meta| {
            let counts =
                if meta.is_dir() { String::new() } else { format!(" {} bytes links={}", meta.size(), meta.nlink()) };
            format!("{:o} {}:{}{counts}", meta.mode(), meta.uid(), meta.gid())
        });
        self.note(format_args!("stat {path}"), stat)
    }

    pub fn readlink(&self, path: &str) -> Outcome {
        let found = fs::read_link(self.path(path)).map(|target| target.display().to_string());
        self.note(format_args!("readlink {path}"), found)
    }

    pub fn access(&self, path: &str, how: rfs::Access) -> Outcome {
        self.done(format_args!("access {path} {how:?}"), rfs::access(self.path(path), how))
    }

    // Creating.

    pub fn mkdir(&self, path: &str, mode: u32) -> Outcome {
        self.done(format_args!("mkdir {path} {mode:o}"), rfs::mkdir(self.path(path), Mode::from_raw_mode(mode)))
    }

    /// Creates a file with `O_CREAT | O_EXCL`.
    pub fn create(&self, path: &str, mode: u32, content: &str) -> Outcome {
        let made = || {
            self.open(path, OpenOptions::new().write(true).create_new(true).mode(mode))?.write_all(content.as_bytes())
        };
        self.note(format_args!("create {path} {mode:o} {content}"), made().map(|()| ""))
    }

    pub fn mknod(&self, path: &str, kind: FileType, mode: u32, device: (u32, u32)) -> Outcome {
        let made =
            rfs::mknodat(CWD, self.path(path), kind, Mode::from_raw_mode(mode), rfs::makedev(device.0, device.1));
        self.done(format_args!("mknod {path} {kind:?} {mode:o} {device:?}"), made)
    }

    pub fn symlink(&self, target: &str, path: &str) -> Outcome {
        self.done(format_args!("symlink {target} {path}"), rfs::symlink(target, self.path(path)))
    }

    pub fn link(&self, from: &str, to: &str) -> Outcome {
        let made = rfs::linkat(CWD, self.path(from), CWD, self.path(to), AtFlags::empty());
        self.done(format_args!("link {from} {to}"), made)
    }

    // Removing and renaming.

    pub fn unlink(&self, path: &str) -> Outcome {
        self.done(format_args!("unlink {path}"), rfs::unlink(self.path(path)))
    }

    pub fn rmdir(&self, path: &str) -> Outcome {
        self.done(format_args!("rmdir {path}"), rfs::rmdir(self.path(path)))
    }

    pub fn rename(&self, from: &str, to: &str) -> Outcome {
        self.rename_with(from, to, RenameFlags::empty())
    }

    pub fn rename_with(&self, from: &str, to: &str, flags: RenameFlags) -> Outcome {
        let renamed = rfs::renameat_with(CWD, self.path(from), CWD, self.path(to), flags);
        self.done(format_args!("rename {from} {to} {flags:?}"), renamed)
    }

    // Content.

    /// Replaces the content of an existing file.
    pub fn write(&self, path: &str, content: &str) -> Outcome {
        let wrote = || self.open(path, OpenOptions::new().write(true).truncate(true))?.write_all(content.as_bytes());
        self.note(format_args!("write {path} {content}"), wrote().map(|()| ""))
    }

    pub fn write_at(&self, path: &str, offset: u64, content: &str) -> Outcome {
        let wrote = || self.open(path, OpenOptions::new().write(true))?.write_all_at(content.as_bytes(), offset);
        self.note(format_args!("write {path} at {offset} {content}"), wrote().map(|()| ""))
    }

    pub fn append(&self, path: &str, content: &str) -> Outcome {
        let wrote = || self.open(path, OpenOptions::new().append(true))?.write_all(content.as_bytes());
        self.note(format_args!("append {path} {content}"), wrote().map(|()| ""))
    }

    /// Changes the length through an open file (`ftruncate(2)`).
    pub fn truncate(&self, path: &str, length: u64) -> Outcome {
        let cut = || self.open(path, OpenOptions::new().write(true))?.set_len(length);
        self.note(format_args!("truncate {path} {length}"), cut().map(|()| ""))
    }

    pub fn fallocate(&self, path: &str, mode: FallocateFlags, offset: u64, length: u64) -> Outcome {
        let allocate = || {
            let file = self.open(path, OpenOptions::new().write(true))?;
            rfs::fallocate(file, mode, offset, length).map_err(io::Error::from)
        };
        self.note(format_args!("fallocate {path} {mode:?} {offset} {length}"), allocate().map(|()| ""))
    }

    /// The ranges of data and the size, as `data 0-4096 8192-12288 of 16384`.
    pub fn extents(&self, path: &str) -> Outcome {
        let seek = |file: &File, from| match rfs::seek(file, from) {
            Ok(at) => Ok(Some(at)),
            Err(Errno::NXIO) => Ok(None),
            Err(error) => Err(io::Error::from(error)),
        };
        let found = || {
            let file = File::open(self.path(path))?;
            let mut extents = Vec::new();
            let mut at = 0;
            while let Some(data) = seek(&file, rfs::SeekFrom::Data(at))? {
                at = seek(&file, rfs::SeekFrom::Hole(data))?.unwrap_or(data);
                extents.push(format!("{data}-{at}"));
            }
            Ok(format!("data {} of {}", extents.join(" "), file.metadata()?.len()))
        };
        self.note(format_args!("extents {path}"), found())
    }

    /// `copy_file_range(2)` of `length` bytes between two existing files.
    pub fn copy_range(&self, from: &str, to: &str, offsets: (u64, u64), length: usize) -> Outcome {
        let copy = || {
            let source = File::open(self.path(from))?;
            let target = self.open(to, OpenOptions::new().write(true))?;
            let (mut read, mut written) = offsets;
            let copied = rfs::copy_file_range(source, Some(&mut read), target, Some(&mut written), length)?;
            Ok(copied.to_string())
        };
        self.note(format_args!("copy_file_range {from} {to} {offsets:?} {length}"), copy())
    }

    // Attributes.

    pub fn chmod(&self, path: &str, mode: u32) -> Outcome {
        let set = fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode));
        self.note(format_args!("chmod {path} {mode:o}"), set.map(|()| ""))
    }

    pub fn chown(&self, path: &str, uid: u32, gid: u32) -> Outcome {
        let set = std::os::unix::fs::lchown(self.path(path), Some(uid), Some(gid));
        self.note(format_args!("chown {path} {uid}:{gid}"), set.map(|()| ""))
    }

    /// Changes the length by path (`truncate(2)`), without opening the file.
    pub fn truncate_path(&self, path: &str, length: u64) -> Outcome {
        let name = std::ffi::CString::new(self.path(path).into_os_string().into_encoded_bytes()).expect("a path");
        // SAFETY: the path is NUL-terminated and outlives the call.
        let cut = match unsafe { libc::truncate(name.as_ptr(), length as libc::off_t) } {
            0 => Ok(""),
            _ => Err(io::Error::last_os_error()),
        };
        self.note(format_args!("truncate by path {path} {length}"), cut)
    }

    /// Sets the access and modification times of the entry itself, to the nanosecond.
    pub fn utimes(&self, path: &str, seconds: i64, nanoseconds: i64) -> Outcome {
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps { last_access: time, last_modification: time };
        let set = rfs::utimensat(CWD, self.path(path), &times, AtFlags::SYMLINK_NOFOLLOW);
        self.done(format_args!("utimes {path} {seconds}.{nanoseconds:09}"), set)
    }

    pub fn set_xattr(&self, path: &str, key: &str, value: &str, flags: XattrFlags) -> Outcome {
        let set = rfs::lsetxattr(self.path(path), key, value.as_bytes(), flags);
        self.done(format_args!("setxattr {path} {key} {value} {flags:?}"), set)
    }

    pub fn get_xattr(&self, path: &str, key: &str) -> Outcome {
        let mut value = vec![0; 64 << 10];
        let got = rfs::lgetxattr(self.path(path), key, &mut value[..]).map(|length| word(&value[..length]));
        self.note(format_args!("getxattr {path} {key}"), got.map_err(io::Error::from))
    }

    pub fn list_xattrs(&self, path: &str) -> Outcome {
        let keys: Vec<String> = xattrs(&self.path(path)).into_iter().map(|(key, _)| key).collect();
        self.note(format_args!("listxattr {path}"), Ok(format!("[{}]", keys.join(" "))))
    }

    pub fn remove_xattr(&self, path: &str, key: &str) -> Outcome {
        self.done(format_args!("removexattr {path} {key}"), rfs::lremovexattr(self.path(path), key))
    }
}

/// The name of an errno, such as `ENOENT`; its number when it is rare.
pub fn errno_name(error: &io::Error) -> String {
    macro_rules! names {
        ($($name:ident),*) => {
            match error.raw_os_error() {
                $(Some(libc::$name) => stringify!($name).to_string(),)*
                Some(number) => format!("errno {number}"),
                None => error.to_string(),
            }
        };
    }
    names!(
        EPERM,
        ENOENT,
        EINTR,
        EIO,
        ENXIO,
        EBADF,
        EAGAIN,
        EACCES,
        EBUSY,
        EEXIST,
        EXDEV,
        ENODEV,
        ENOTDIR,
        EISDIR,
        EINVAL,
        EFBIG,
        ENOSPC,
        EDQUOT,
        ESPIPE,
        EROFS,
        EMLINK,
        ERANGE,
        ENAMETOOLONG,
        ENOSYS,
        ENOTEMPTY,
        ELOOP,
        ENODATA,
        EOPNOTSUPP,
        ESTALE,
        ETXTBSY,
        ENOTCONN
    )
}
