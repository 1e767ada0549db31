//! The requests, one after the other: each becomes one call of [`Union`](crate::union::Union).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno as FuseErrno, FileHandle, Filesystem, FopenFlags, Generation,
    INodeNo, IoctlFlags, KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl,
    ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use crate::sys::{Errno, FlagsRequest, Kind, Name, OFlags, SeekTo};
use crate::union::{Change, Mode, New, Remove, Slot, Wanted};

use super::convert::{self, id, rename_how, set_time};
use super::opens::{Opened, mappable};
use super::reply::{self, FOR_EVER, answer};
use super::server::Server;
use super::stats::{self, Asked};

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        self.negotiate(config)
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, to: ReplyEntry) {
        answer(
            self.begin(Asked::Lookup),
            to,
            || self.union()?.lookup(id(parent), Name::new(name)?),
            reply::entry_or_none(|id| self.lifetime(id)),
        );
    }

    fn forget(&self, _: &Request, ino: INodeNo, count: u64) {
        self.begin(Asked::Forget);
        if let Ok(union) = self.union() {
            let gone = union.forget(id(ino), count);
            self.opens.iter().filter(|_| gone).for_each(|opens| opens.forget(id(ino)));
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, to: ReplyAttr) {
        answer(self.begin(Asked::Getattr), to, || self.union()?.attr(id(ino)), reply::attr(|id| self.lifetime(id)));
    }

    fn setattr(
        &self,
        by: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        to: ReplyAttr,
    ) {
        let change = Change { perm: mode, uid, gid, size, atime: set_time(atime), mtime: set_time(mtime) };
        let set = || {
            // A change of nothing is `chown` to nobody, or a write that the kernel makes itself to a set-id file.
            if size.is_some() || change.changes_owner() || change == Change::default() {
                self.drop_set_id(ino, by)?;
            }
            self.union()?.change(id(ino), change)
        };
        answer(self.begin(Asked::Setattr), to, set, reply::attr(|id| self.lifetime(id)));
    }

    fn readlink(&self, _: &Request, ino: INodeNo, to: ReplyData) {
        answer(
            self.begin(Asked::Readlink),
            to,
            || self.union()?.read_link(id(ino)),
            |to, target| to.data(target.as_bytes()),
        );
    }

    fn mknod(&self, by: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, rdev: u32, to: ReplyEntry) {
        let new = match Kind::of_mode(mode) {
            Kind::Regular => New::File,
            kind => New::Node { kind, rdev: rdev.into() },
        };
        let mode = Mode { perm: mode & 0o7777, umask };
        let make = || self.union()?.create(self.owner(by), id(parent), Name::new(name)?, new, mode);
        answer(self.begin(Asked::Mknod), to, make, reply::entry(|id| self.lifetime(id)));
    }

    fn mkdir(&self, by: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, to: ReplyEntry) {
        let mode = Mode { perm: mode & 0o7777, umask };
        let make = || self.union()?.create(self.owner(by), id(parent), Name::new(name)?, New::Dir, mode);
        answer(self.begin(Asked::Mkdir), to, make, reply::entry(|id| self.lifetime(id)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, to: ReplyEmpty) {
        answer(
            self.begin(Asked::Unlink),
            to,
            || self.union()?.remove(id(parent), Name::new(name)?, Remove::File),
            reply::done,
        );
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, to: ReplyEmpty) {
        answer(
            self.begin(Asked::Rmdir),
            to,
            || self.union()?.remove(id(parent), Name::new(name)?, Remove::Dir),
            reply::done,
        );
    }

    fn symlink(&self, by: &Request, parent: INodeNo, name: &OsStr, target: &Path, to: ReplyEntry) {
        let new = New::Symlink { target: target.as_os_str() };
        let mode = Mode { perm: 0o777, umask: 0 };
        let make = || self.union()?.create(self.owner(by), id(parent), Name::new(name)?, new, mode);
        answer(self.begin(Asked::Symlink), to, make, reply::entry(|id| self.lifetime(id)));
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        to: ReplyEmpty,
    ) {
        let rename = || {
            let from = Slot { dir: id(parent), name: Name::new(name)? };
            let to = Slot { dir: id(new_parent), name: Name::new(new_name)? };
            match rename_how(flags)? {
                (how, false) => self.union()?.rename(from, to, how),
                (how, true) => self.union()?.rename_leaving_whiteout(self.owner(request), from, to, how),
            }
        };
        answer(self.begin(Asked::Rename), to, rename, reply::done);
    }

    fn link(&self, _: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, to: ReplyEntry) {
        answer(
            self.begin(Asked::Link),
            to,
            || self.union()?.link(id(ino), id(parent), Name::new(name)?),
            reply::entry(|id| self.lifetime(id)),
        );
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, to: ReplyOpen) {
        let asked = self.begin(Asked::Open);
        let Some(opens) = &self.opens else { return to.error(FuseErrno::ENOSYS) };
        let open = |to: &ReplyOpen| opens.open(self.union()?, id(ino), flags, |file| to.open_backing(file));
        reply::answer_by(asked, to, open, |to, opened| match opened {
            Opened::Unasked => to.error(FuseErrno::ENOSYS),
            Opened::Cached => to.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Opened::Through(backing) => {
                if mappable(flags) {
                    self.forget_attributes(ino);
                }
                to.opened_passthrough(FileHandle(0), FopenFlags::empty(), &backing);
            }
        });
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, to: ReplyOpen) {
        self.begin(Asked::Opendir);
        to.error(FuseErrno::ENOSYS);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, to: ReplyEmpty) {
        self.begin(Asked::Flush);
        to.error(FuseErrno::ENOSYS);
    }

    /// Where opening is not asked, of files that were created: those the kernel takes for opened.
    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        to: ReplyEmpty,
    ) {
        let release = || {
            self.opens.iter().for_each(|opens| opens.release(id(ino)));
            Ok(())
        };
        answer(self.begin(Asked::Release), to, release, reply::done);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        _: Option<LockOwner>,
        to: ReplyData,
    ) {
        let quiet = self.no_atime || flags.0 & OFlags::NOATIME.bits().cast_signed() != 0;
        reply::data(self.begin(Asked::Read), to, size as usize, |buffer| match quiet {
            true => self.union()?.read_quietly(id(ino), offset, buffer),
            false => self.union()?.read(id(ino), offset, buffer),
        });
    }

    fn write(
        &self,
        by: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        to: ReplyWrite,
    ) {
        let write = || {
            if flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID) {
                self.drop_set_id(ino, by)?;
            }
            // What was written through a map is done already.
            if !flags.contains(WriteFlags::FUSE_WRITE_CACHE) {
                self.union()?.may_write(id(ino), offset)?;
            }
            self.union()?.write(id(ino), offset, data)
        };
        answer(self.begin(Asked::Write), to, write, reply::written);
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, data_only: bool, to: ReplyEmpty) {
        answer(self.begin(Asked::Fsync), to, || self.union()?.sync(id(ino), data_only), reply::done);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, data_only: bool, to: ReplyEmpty) {
        answer(self.begin(Asked::Fsyncdir), to, || self.union()?.sync(id(ino), data_only), reply::done);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, to: ReplyDirectory) {
        reply::directory(self.begin(Asked::Readdir), to, offset, |offset| self.union()?.read_dir(id(ino), offset));
    }

    fn readdirplus(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, to: ReplyDirectoryPlus) {
        reply::directory_plus(self.begin(Asked::Readdirplus), to, offset, self.union(), id(ino), |id| {
            self.lifetime(id)
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, to: ReplyStatfs) {
        answer(self.begin(Asked::Statfs), to, || self.union()?.stat_fs(), reply::stat_fs);
    }

    fn setxattr(&self, _: &Request, ino: INodeNo, key: &OsStr, value: &[u8], flags: i32, _: u32, to: ReplyEmpty) {
        // XATTR_CREATE and XATTR_REPLACE.
        let wanted = match flags {
            1 => Wanted::Create,
            2 => Wanted::Replace,
            _ => Wanted::Any,
        };
        answer(self.begin(Asked::Setxattr), to, || self.union()?.set_xattr(id(ino), key, value, wanted), reply::done);
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, key: &OsStr, size: u32, to: ReplyXattr) {
        // A question for the counts is not to change them.
        if key == stats::KEY && ino == INodeNo::ROOT {
            let counts = || serde_json::to_vec(&self.counters.stats()).map_err(|_| Errno::IO);
            return answer(Asked::Getxattr, to, || reply::fits(counts()?, size), reply::xattr(size));
        }
        let get = || reply::fits(self.union()?.xattr(id(ino), key)?, size);
        answer(self.begin(Asked::Getxattr), to, get, reply::xattr(size));
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, to: ReplyXattr) {
        let list = || {
            let keys = self.union()?.xattrs(id(ino))?;
            let joined = keys.iter().flat_map(|key| key.as_bytes().iter().copied().chain([0]));
            reply::fits(joined.collect(), size)
        };
        answer(self.begin(Asked::Listxattr), to, list, reply::xattr(size));
    }

    fn removexattr(&self, _: &Request, ino: INodeNo, key: &OsStr, to: ReplyEmpty) {
        answer(self.begin(Asked::Removexattr), to, || self.union()?.remove_xattr(id(ino), key), reply::done);
    }

    /// Asked only where the kernel does not check: then its one user may do what the files on disk allow.
    fn access(&self, _: &Request, ino: INodeNo, mask: AccessFlags, to: ReplyEmpty) {
        let check = || {
            let stat = self.union()?.attr(id(ino))?.stat;
            if mask.contains(AccessFlags::W_OK) && self.union()?.is_read_only() && stat.kind != Kind::CharDevice {
                return Err(Errno::ROFS);
            }
            let runs = stat.kind != Kind::Regular || stat.perm & 0o111 != 0;
            if mask.contains(AccessFlags::X_OK) && !runs { Err(Errno::ACCESS) } else { Ok(()) }
        };
        answer(self.begin(Asked::Access), to, check, reply::done);
    }

    fn create(&self, by: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, flags: i32, to: ReplyCreate) {
        // Where no open is told, MKNOD does as well, and no RELEASE comes after it.
        let Some(opens) = &self.opens else {
            self.begin(Asked::Create);
            return to.error(FuseErrno::ENOSYS);
        };
        let mode = Mode { perm: mode & 0o7777, umask };
        let make = |to: &ReplyCreate| {
            let union = self.union()?;
            let attr = union.create(self.owner(by), id(parent), Name::new(name)?, New::File, mode)?;
            let opened = opens.open(union, attr.id, OpenFlags(flags), |file| to.open_backing(file))?;
            Ok((convert::attr(&attr), opened))
        };
        // It is empty: before a program can write through a map the kernel will have asked for its attributes.
        reply::answer_by(self.begin(Asked::Create), to, make, |to, (attr, opened)| match opened {
            Opened::Cached | Opened::Unasked => {
                to.created(&FOR_EVER, &attr, Generation(0), FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
            }
            Opened::Through(backing) => {
                let none = FopenFlags::empty();
                to.created_passthrough(&FOR_EVER, &attr, Generation(0), FileHandle(0), none, &backing);
            }
        });
    }

    fn ioctl(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        command: u32,
        argument: &[u8],
        _room: u32,
        to: ReplyIoctl,
    ) {
        let act = || match FlagsRequest::decode(command, argument).ok_or(Errno::NOTTY)? {
            FlagsRequest::Get => Ok(self.union()?.flags(id(ino))?.0.to_ne_bytes().to_vec()),
            FlagsRequest::GetExtended => Ok(self.union()?.extended_flags(id(ino))?.bytes()),
            FlagsRequest::Set(flags) => self.union()?.set_flags(id(ino), flags).map(|()| Vec::new()),
            FlagsRequest::SetExtended(flags) => self.union()?.set_extended_flags(id(ino), &flags).map(|()| Vec::new()),
        };
        answer(self.begin(Asked::Ioctl), to, act, |to, answer| to.ioctl(0, &answer));
    }

    fn poll(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: PollNotifier,
        _: PollEvents,
        _: PollFlags,
        to: ReplyPoll,
    ) {
        self.begin(Asked::Poll);
        // Regular files are always ready; the kernel then stops asking.
        to.error(FuseErrno::ENOSYS);
    }

    fn fallocate(
        &self,
        by: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        to: ReplyEmpty,
    ) {
        let mode = mode.cast_unsigned();
        let allocate = || {
            self.drop_set_id(ino, by)?;
            self.union()?.allocate(id(ino), mode, offset, length)
        };
        answer(self.begin(Asked::Fallocate), to, allocate, reply::done);
    }

    fn lseek(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: i64, whence: i32, to: ReplyLseek) {
        let seek = || {
            // SEEK_DATA and SEEK_HOLE; the kernel does the others itself.
            let to = match whence {
                3 => SeekTo::Data,
                4 => SeekTo::Hole,
                _ => return Err(Errno::INVAL),
            };
            let offset = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
            i64::try_from(self.union()?.seek(id(ino), to, offset)?).map_err(|_| Errno::OVERFLOW)
        };
        answer(self.begin(Asked::Lseek), to, seek, ReplyLseek::offset);
    }

    fn copy_file_range(
        &self,
        by: &Request,
        ino_in: INodeNo,
        _: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        _: FileHandle,
        offset_out: u64,
        len: u64,
        _: CopyFileRangeFlags,
        to: ReplyWrite,
    ) {
        let copy = || {
            self.drop_set_id(ino_out, by)?;
            self.union()?.copy_range((id(ino_in), offset_in), (id(ino_out), offset_out), len.min(1 << 30))
        };
        answer(self.begin(Asked::CopyFileRange), to, copy, reply::written);
    }
}
