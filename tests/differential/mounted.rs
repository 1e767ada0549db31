//! A mounted tree, used by the system calls that programs make.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use overfuse::sys::{Errno, Kind};
use rustix::fs::{self as rfs, AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps, XattrFlags};

use crate::operations::{Answer, How, OPEN, Operation, SLOTS, Wanted};
use crate::subject::{Attr, Entry, Listed, Subject, Time, kind_name, runs};
use crate::vfs::{RANGE, UTIME};

type Result<T> = std::result::Result<T, Errno>;

/// Ends a mount.
pub type Unmount = Box<dyn FnOnce() -> std::result::Result<(), String>>;

pub struct Mounted {
    root: PathBuf,
    slots: [Option<OwnedFd>; SLOTS],
    start: i64,
    /// Whether whiteouts may be listed: kernel overlayfs does so in a directory with only one part.
    lists_ghosts: bool,
    unmount: Unmount,
}

impl Mounted {
    /// `start` in seconds; later times are `Time::New`.
    pub fn new(root: &Path, start: i64, lists_ghosts: bool, unmount: Unmount) -> Mounted {
        Mounted { root: root.into(), slots: Default::default(), start, lists_ghosts, unmount }
    }

    fn opened(&self, slot: usize) -> Result<&OwnedFd> {
        self.slots[slot].as_ref().ok_or(Errno::BADF)
    }

    fn path(&self, path: &str) -> Result<PathBuf> {
        let Some(open) = path.strip_prefix(OPEN) else { return Ok(self.root.join(path)) };
        let (slot, below) = open.split_once('/').expect("a path below a slot");
        let fd = self.opened(slot.parse().expect("a slot's number"))?;
        Ok(format!("/proc/self/fd/{}/{below}", fd.as_raw_fd()).into())
    }

    fn open(&self, path: &str, flags: OFlags, mode: u32) -> Result<(OwnedFd, Kind)> {
        // NONBLOCK: does not wait for the other end of a fifo.
        let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rfs::open(self.path(path)?, flags, Mode::from_raw_mode(mode))?;
        let kind = kind(FileType::from_raw_mode(rfs::fstat(&fd)?.st_mode));
        Ok((fd, kind))
    }

    fn attr(&self, stat: &rfs::Stat) -> Attr {
        let mtime = match stat.st_mtime {
            new if new >= self.start => Time::New,
            old => Time::At(old, stat.st_mtime_nsec as i64),
        };
        let kind = kind(FileType::from_raw_mode(stat.st_mode));
        Attr {
            kind,
            perm: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            links: stat.st_nlink as u32,
            size: if matches!(kind, Kind::Regular | Kind::Symlink) { stat.st_size as u64 } else { 0 },
            mtime,
            ino: stat.st_ino,
        }
    }

    fn names(&self, dir: &OwnedFd) -> Result<Vec<Listed>> {
        let mut names = Vec::new();
        let mut buffer = vec![MaybeUninit::uninit(); 4096];
        // Rewinding makes an open directory list the current entries.
        rfs::seek(dir, rfs::SeekFrom::Start(0))?;
        let mut entries = rfs::RawDir::new(dir, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            let is_ghost = || rfs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).err() == Some(Errno::NOENT);
            if matches!(name.to_bytes(), b"." | b"..") || (self.lists_ghosts && is_ghost()) {
                continue;
            }
            let kind = kind_name(kind(entry.file_type()));
            names.push(Listed { name: name.to_string_lossy().into_owned(), kind, ino: entry.ino() });
        }
        names.sort();
        Ok(names)
    }
}

impl Subject for Mounted {
    fn apply(&mut self, operation: &Operation) -> Answer {
        use Operation::*;
        match operation {
            Open { slot, path, flags, mode } => {
                let opened = self.open(path, *flags, *mode);
                self.slots[*slot] = None;
                let (fd, kind) = opened?;
                if matches!(kind, Kind::Regular | Kind::Directory) {
                    self.slots[*slot] = Some(fd);
                }
                Ok(kind_name(kind).into())
            }
            Write { path, flags, offset, length, byte } => match self.open(path, *flags, 0o644)? {
                (fd, Kind::Regular) => write(&fd, *offset, *length, *byte),
                (_, other) => Ok(kind_name(other).into()),
            },
            Mkdir { path, mode } => done(rfs::mkdir(self.path(path)?, Mode::from_raw_mode(*mode))),
            Symlink { target, path } => done(rfs::symlink(*target, self.path(path)?)),
            Fifo { path, mode } => {
                done(rfs::mknodat(CWD, self.path(path)?, FileType::Fifo, Mode::from_raw_mode(*mode), 0))
            }
            Link { from, to } => done(rfs::link(self.path(from)?, self.path(to)?)),
            Unlink { path } => done(rfs::unlink(self.path(path)?)),
            Rmdir { path } => done(rfs::rmdir(self.path(path)?)),
            Rename { from, to, how } => {
                let flags = match how {
                    How::Replace => RenameFlags::empty(),
                    How::NoReplace => RenameFlags::NOREPLACE,
                    How::Exchange => RenameFlags::EXCHANGE,
                };
                done(rfs::renameat_with(CWD, self.path(from)?, CWD, self.path(to)?, flags))
            }
            Truncate { path, length } => truncate(&self.path(path)?, *length),
            CopyRange { from, to } => {
                let (source, _) = self.open(from, OFlags::RDONLY, 0)?;
                let (target, _) = self.open(to, OFlags::RDWR, 0)?;
                let (mut read, mut written, most) = RANGE;
                let copied = rfs::copy_file_range(source, Some(&mut read), target, Some(&mut written), most as usize)?;
                Ok(copied.to_string())
            }
            Chmod { path, mode } => done(rfs::chmod(self.path(path)?, Mode::from_raw_mode(*mode))),
            Chown { path, owner } => {
                let changed = std::os::unix::fs::lchown(self.path(path)?, Some(owner.0), Some(owner.1));
                done(changed.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO)))
            }
            Utimes { path } => {
                let time = Timespec { tv_sec: UTIME.0, tv_nsec: UTIME.1 };
                let times = Timestamps { last_access: time, last_modification: time };
                done(rfs::utimensat(CWD, self.path(path)?, &times, AtFlags::SYMLINK_NOFOLLOW))
            }
            SetXattr { path, key, value, how } => {
                let flags = match how {
                    Wanted::Any => XattrFlags::empty(),
                    Wanted::Create => XattrFlags::CREATE,
                    Wanted::Replace => XattrFlags::REPLACE,
                };
                done(rfs::lsetxattr(self.path(path)?, *key, value.as_bytes(), flags))
            }
            RemoveXattr { path, key } => done(rfs::lremovexattr(self.path(path)?, *key)),
            List { path } => Ok(joined(&self.list(path)?)),
            Stat { path } => Ok(self.attr(&rfs::lstat(self.path(path)?)?).to_string()),
            ReadLink { path } => Ok(rfs::readlink(self.path(path)?, Vec::new())?.to_string_lossy().into_owned()),
            ReadOpen { slot } => {
                let fd = self.opened(*slot)?;
                let flags = rfs::fcntl_getfl(fd)?;
                let is_dir = FileType::from_raw_mode(rfs::fstat(fd)?.st_mode) == FileType::Directory;
                if is_dir {
                    return Ok(joined(&self.names(fd)?));
                }
                if flags.contains(OFlags::WRONLY) {
                    return rustix::io::pread(fd, &mut [0; 1][..], 0).map(|_| String::new());
                }
                Ok(runs(&read(fd)?))
            }
            WriteOpen { slot, offset, length, byte } => write(self.opened(*slot)?, *offset, *length, *byte),
            TruncateOpen { slot, length } => done(rfs::ftruncate(self.opened(*slot)?, *length)),
            AllocateOpen { slot, how, offset, length } => {
                done(rfs::fallocate(self.opened(*slot)?, how.flags(), *offset, *length))
            }
            ChmodOpen { slot, mode } => done(rfs::fchmod(self.opened(*slot)?, Mode::from_raw_mode(*mode))),
            StatOpen { slot } => Ok(self.attr(&rfs::fstat(self.opened(*slot)?)?).to_string()),
            Close { slot } => {
                self.slots[*slot] = None;
                done(Ok(()))
            }
            RemoveTree { .. } | Remount { .. } | Commit | Look => unreachable!("the sequence does {operation:?}"),
        }
    }

    fn entry(&mut self, path: &str) -> Result<Entry> {
        let path = self.path(path)?;
        let attr = self.attr(&rfs::lstat(&path)?);
        let content = match attr.kind {
            Kind::Regular => read(&rfs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)?,
            Kind::Symlink => rfs::readlink(&path, Vec::new())?.into_bytes(),
            _ => Vec::new(),
        };
        Ok(Entry { attr, content, xattrs: xattrs(&path)? })
    }

    fn list(&mut self, path: &str) -> Result<Vec<Listed>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.names(&rfs::open(self.path(path)?, flags, Mode::empty())?)
    }

    fn stop(self: Box<Self>) -> std::result::Result<(), String> {
        let Mounted { slots, unmount, .. } = *self;
        drop(slots);
        unmount()
    }
}

fn joined(names: &[Listed]) -> String {
    names.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(" ")
}

fn done(result: Result<()>) -> Answer {
    result.map(|()| String::new())
}

fn write(fd: &OwnedFd, offset: u64, length: usize, byte: char) -> Answer {
    let data = byte.to_string().repeat(length);
    let count = rustix::io::pwrite(fd, data.as_bytes(), offset)?;
    done(if count == length { Ok(()) } else { Err(Errno::IO) })
}

fn read(fd: &OwnedFd) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut buffer = vec![0; 32 << 10];
    loop {
        match rustix::io::pread(fd, &mut buffer[..], content.len() as u64)? {
            0 => return Ok(content),
            count => content.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Calls `truncate(2)`, which rustix lacks.
fn truncate(path: &Path, length: u64) -> Answer {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).expect("no path has a NUL");
    // SAFETY: the path is a string that lives until the call returns.
    let result = unsafe { libc::truncate(path.as_ptr(), length as libc::off_t) };
    let error = std::io::Error::last_os_error();
    done(if result == 0 { Ok(()) } else { Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)) })
}

fn xattrs(path: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut list = [0; 4096];
    let length = match rfs::llistxattr(path, &mut list[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    let keys = list[..length].split(|byte| *byte == 0).filter(|key| !key.is_empty());
    let pair = |key: &[u8]| {
        let key = String::from_utf8_lossy(key).into_owned();
        let mut value = vec![0; 4096];
        let length = rfs::lgetxattr(path, OsStr::new(&key), &mut value[..])?;
        value.truncate(length);
        Ok((key, value))
    };
    keys.map(pair).collect()
}

fn kind(of: FileType) -> Kind {
    Kind::of_mode(of.as_raw_mode())
}
