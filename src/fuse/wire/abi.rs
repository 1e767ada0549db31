//! The messages of FUSE as the kernel lays them out: `linux/fuse.h`, of protocol 7.31 and later.
//!
//! Fields that this file system has no use for keep their place under names with an underscore.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! layout {
    ($($(#[$doc:meta])* struct $name:ident { $($field:ident: $type:ty,)* })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
        #[repr(C)]
        pub(in crate::fuse) struct $name { $(pub(in crate::fuse) $field: $type,)* }
    )* };
}

pub(in crate::fuse) const MAJOR: u32 = 7;
/// The minor version that Overfuse implements; a newer kernel falls back to it.
pub(in crate::fuse) const MINOR: u32 = 40;
/// The minor version of Linux 5.4. The system calls on layers need a newer kernel anyway.
pub(in crate::fuse) const MINOR_LEAST: u32 = 31;

/// In bytes: the most that one request writes or reads.
pub(in crate::fuse) const MAX_WRITE: u32 = 1 << 20;
/// In bytes: the kernel writes no request to a buffer shorter than this.
pub(in crate::fuse) const READ_BUFFER_LEAST: usize = 8192;

/// Features of a connection, as flags of INIT: the kernel offers them, and this process picks some.
pub(in crate::fuse) mod init {
    pub(in crate::fuse) const ASYNC_READ: u64 = 1 << 0;
    pub(in crate::fuse) const BIG_WRITES: u64 = 1 << 5;
    pub(in crate::fuse) const DONT_MASK: u64 = 1 << 6;
    pub(in crate::fuse) const DO_READDIRPLUS: u64 = 1 << 13;
    pub(in crate::fuse) const READDIRPLUS_AUTO: u64 = 1 << 14;
    pub(in crate::fuse) const ASYNC_DIO: u64 = 1 << 15;
    pub(in crate::fuse) const WRITEBACK_CACHE: u64 = 1 << 16;
    pub(in crate::fuse) const NO_OPEN_SUPPORT: u64 = 1 << 17;
    pub(in crate::fuse) const PARALLEL_DIROPS: u64 = 1 << 18;
    pub(in crate::fuse) const POSIX_ACL: u64 = 1 << 20;
    pub(in crate::fuse) const MAX_PAGES: u64 = 1 << 22;
    pub(in crate::fuse) const CACHE_SYMLINKS: u64 = 1 << 23;
    pub(in crate::fuse) const NO_OPENDIR_SUPPORT: u64 = 1 << 24;
    pub(in crate::fuse) const HANDLE_KILLPRIV_V2: u64 = 1 << 28;
    pub(in crate::fuse) const INIT_EXT: u64 = 1 << 30;
    pub(in crate::fuse) const PASSTHROUGH: u64 = 1 << 37;
    pub(in crate::fuse) const NO_EXPORT_SUPPORT: u64 = 1 << 38;
    pub(in crate::fuse) const OVER_IO_URING: u64 = 1 << 41;
}

/// Flags of [`OpenOut`]: how the kernel treats an open file.
pub(in crate::fuse) const FOPEN_KEEP_CACHE: u32 = 1 << 1;
pub(in crate::fuse) const FOPEN_PASSTHROUGH: u32 = 1 << 7;

/// Flags of [`SetattrIn`]: which fields are set.
pub(in crate::fuse) mod fattr {
    pub(in crate::fuse) const MODE: u32 = 1 << 0;
    pub(in crate::fuse) const UID: u32 = 1 << 1;
    pub(in crate::fuse) const GID: u32 = 1 << 2;
    pub(in crate::fuse) const SIZE: u32 = 1 << 3;
    pub(in crate::fuse) const ATIME: u32 = 1 << 4;
    pub(in crate::fuse) const MTIME: u32 = 1 << 5;
    pub(in crate::fuse) const ATIME_NOW: u32 = 1 << 7;
    pub(in crate::fuse) const MTIME_NOW: u32 = 1 << 8;
}

/// Which fields of a [`Statx`] are meant.
pub(in crate::fuse) mod statx {
    pub(in crate::fuse) const BASIC_STATS: u32 = 0x7ff;
    pub(in crate::fuse) const BTIME: u32 = 0x800;
}

/// The write comes from the page cache.
pub(in crate::fuse) const WRITE_CACHE: u32 = 1 << 0;
/// The write removes set-id bits.
pub(in crate::fuse) const WRITE_KILL_SUIDGID: u32 = 1 << 2;

pub(in crate::fuse) const FSYNC_DATA_ONLY: u32 = 1 << 0;

/// Codes of notices, which are messages that answer no request. The code is in the field `error` of the header.
pub(in crate::fuse) const NOTIFY_INVAL_INODE: i32 = 2;
pub(in crate::fuse) const NOTIFY_INVAL_ENTRY: i32 = 3;
pub(in crate::fuse) const NOTIFY_STORE: i32 = 4;

layout! {
    /// Before each request.
    struct InHeader {
        len: u32, opcode: u32, unique: u64, nodeid: u64, uid: u32, gid: u32, pid: u32, _extensions: u16, _padding: u16,
    }
    /// Before each answer.
    struct OutHeader { len: u32, error: i32, unique: u64, }

    struct InitIn { major: u32, minor: u32, max_readahead: u32, flags: u32, }
    /// Follows `InitIn` when the flags have `INIT_EXT`.
    struct InitMore { flags2: u32, _unused: [u32; 11], }
    struct InitOut {
        major: u32, minor: u32, max_readahead: u32, flags: u32, max_background: u16, congestion_threshold: u16,
        max_write: u32, time_gran: u32, max_pages: u16, map_alignment: u16, flags2: u32, max_stack_depth: u32,
        _unused: [u32; 6],
    }

    struct Attr {
        ino: u64, size: u64, blocks: u64, atime: u64, mtime: u64, ctime: u64, atimensec: u32, mtimensec: u32,
        ctimensec: u32, mode: u32, nlink: u32, uid: u32, gid: u32, rdev: u32, blksize: u32, flags: u32,
    }
    struct EntryOut {
        nodeid: u64, generation: u64, entry_valid: u64, attr_valid: u64, entry_valid_nsec: u32, attr_valid_nsec: u32,
        attr: Attr,
    }
    struct AttrOut { attr_valid: u64, attr_valid_nsec: u32, _padding: u32, attr: Attr, }

    struct StatxIn { _getattr_flags: u32, _reserved: u32, _fh: u64, _flags: u32, mask: u32, }
    struct StatxTime { sec: i64, nsec: u32, _reserved: i32, }
    struct Statx {
        mask: u32, blksize: u32, attributes: u64, nlink: u32, uid: u32, gid: u32, mode: u16, _spare0: u16, ino: u64,
        size: u64, blocks: u64, attributes_mask: u64, atime: StatxTime, btime: StatxTime, ctime: StatxTime,
        mtime: StatxTime, rdev_major: u32, rdev_minor: u32, dev_major: u32, dev_minor: u32, _spare2: [u64; 14],
    }
    struct StatxOut { attr_valid: u64, attr_valid_nsec: u32, flags: u32, _spare: [u64; 2], stat: Statx, }

    struct ForgetIn { nlookup: u64, }
    struct BatchForgetIn { count: u32, _padding: u32, }
    struct ForgetOne { nodeid: u64, nlookup: u64, }

    struct SetattrIn {
        valid: u32, _padding: u32, _fh: u64, size: u64, _lock_owner: u64, atime: u64, mtime: u64, _ctime: u64,
        atimensec: u32, mtimensec: u32, _ctimensec: u32, mode: u32, _unused4: u32, uid: u32, gid: u32, _unused5: u32,
    }
    struct MknodIn { mode: u32, rdev: u32, umask: u32, _padding: u32, }
    struct MkdirIn { mode: u32, umask: u32, }
    struct RenameIn { newdir: u64, }
    struct Rename2In { newdir: u64, flags: u32, _padding: u32, }
    struct LinkIn { oldnodeid: u64, }

    struct OpenIn { flags: u32, _open_flags: u32, }
    struct CreateIn { flags: u32, mode: u32, umask: u32, _open_flags: u32, }
    struct OpenOut { fh: u64, open_flags: u32, backing_id: i32, }
    struct CreateOut { entry: EntryOut, open: OpenOut, }

    struct ReadIn { _fh: u64, offset: u64, size: u32, _read_flags: u32, _lock_owner: u64, flags: u32, _padding: u32, }
    struct WriteIn { _fh: u64, offset: u64, size: u32, write_flags: u32, _lock_owner: u64, _flags: u32, _padding: u32, }
    struct WriteOut { size: u32, _padding: u32, }
    struct StatfsOut {
        blocks: u64, bfree: u64, bavail: u64, files: u64, ffree: u64, bsize: u32, namelen: u32, frsize: u32,
        _padding: u32, _spare: [u32; 6],
    }
    struct FsyncIn { _fh: u64, fsync_flags: u32, _padding: u32, }
    struct SetxattrIn { size: u32, flags: u32, }
    struct GetxattrIn { size: u32, _padding: u32, }
    struct GetxattrOut { size: u32, _padding: u32, }
    struct AccessIn { mask: u32, _padding: u32, }
    struct IoctlIn { _fh: u64, _flags: u32, cmd: u32, _arg: u64, in_size: u32, out_size: u32, }
    struct IoctlOut { result: i32, flags: u32, in_iovs: u32, out_iovs: u32, }
    struct FallocateIn { _fh: u64, offset: u64, length: u64, mode: u32, _padding: u32, }
    struct LseekIn { _fh: u64, offset: u64, whence: u32, _padding: u32, }
    struct LseekOut { offset: u64, }
    struct CopyFileRangeIn {
        _fh_in: u64, off_in: u64, nodeid_out: u64, _fh_out: u64, off_out: u64, len: u64, _flags: u64,
    }

    struct CopyFileRangeOut { bytes_copied: u64, }

    struct Dirent { ino: u64, off: u64, namelen: u32, kind: u32, }
    struct NotifyInvalInodeOut { ino: u64, off: i64, len: i64, }
    /// The name and a NUL follow.
    struct NotifyInvalEntryOut { parent: u64, namelen: u32, flags: u32, }
    struct NotifyStoreOut { nodeid: u64, offset: u64, size: u32, _padding: u32, }
}

impl EntryOut {
    /// All zero: node 0, which is no node.
    pub(in crate::fuse) const NOTHING: EntryOut = zerocopy::transmute!([0_u8; size_of::<EntryOut>()]);
}

impl OutHeader {
    /// A header for a message with `len` bytes after it.
    pub(in crate::fuse) fn before(len: usize, error: i32, unique: u64) -> OutHeader {
        OutHeader { len: (size_of::<OutHeader>() + len) as u32, error, unique }
    }

    /// The whole message: this header and `body`.
    pub(in crate::fuse) fn with(self, body: &(impl IntoBytes + Immutable)) -> Vec<u8> {
        [self.as_bytes(), body.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_long_as_the_kernel_has_them() {
        let sizes = [
            (size_of::<InHeader>(), 40),
            (size_of::<OutHeader>(), 16),
            (size_of::<InitIn>() + size_of::<InitMore>(), 64),
            (size_of::<InitOut>(), 64),
            (size_of::<Attr>(), 88),
            (size_of::<EntryOut>(), 128),
            (size_of::<AttrOut>(), 104),
            (size_of::<StatxIn>(), 24),
            (size_of::<Statx>(), 256),
            (size_of::<StatxOut>(), 288),
            (size_of::<SetattrIn>(), 88),
            (size_of::<OpenOut>(), 16),
            (size_of::<CreateOut>(), 144),
            (size_of::<ReadIn>(), 40),
            (size_of::<WriteIn>(), 40),
            (size_of::<StatfsOut>(), 80),
            (size_of::<IoctlIn>(), 32),
            (size_of::<IoctlOut>(), 16),
            (size_of::<FallocateIn>(), 32),
            (size_of::<LseekIn>(), 24),
            (size_of::<CopyFileRangeIn>(), 56),
            (size_of::<Dirent>(), 24),
            (size_of::<NotifyInvalInodeOut>(), 24),
            (size_of::<NotifyInvalEntryOut>(), 16),
            (size_of::<NotifyStoreOut>(), 24),
        ];
        for (index, (ours, kernels)) in sizes.into_iter().enumerate() {
            assert_eq!(ours, kernels, "message {index}");
        }
    }
}
