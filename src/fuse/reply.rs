//! The one place where errors become errno, with the one panic guard and the one log line.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Errno as FuseErrno, FileAttr, FileType, Generation, INodeNo, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
};

use crate::sys::{Errno, FsStat, Result};
use crate::union::{Attr, DIR_BATCH, DirItem, NodeId, Union};

use super::convert;
use super::stats::Asked;

/// How long the kernel may keep what it is told: lower layers never change and the upper is ours alone.
pub(super) const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Something that can be answered with an error.
pub(super) trait Refuse {
    fn refuse(self, errno: FuseErrno);
}

macro_rules! refuse {
    ($($reply:ty),*) => { $(impl Refuse for $reply {
        fn refuse(self, errno: FuseErrno) {
            self.error(errno);
        }
    })* };
}

refuse!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyIoctl,
    ReplyLseek,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite,
    ReplyXattr
);

/// Does `work` and answers with what came of it.
pub(super) fn answer<R: Refuse, T>(asked: Asked, to: R, work: impl FnOnce() -> Result<T>, deliver: impl FnOnce(R, T)) {
    answer_by(asked, to, |_| work(), deliver);
}

/// As [`answer`], for work that needs the connection which the answer takes.
pub(super) fn answer_by<R: Refuse, T>(
    asked: Asked,
    to: R,
    work: impl FnOnce(&R) -> Result<T>,
    deliver: impl FnOnce(R, T),
) {
    match guarded(asked, || work(&to)) {
        Ok(value) => deliver(to, value),
        Err(errno) => to.refuse(FuseErrno::from_i32(errno.raw_os_error())),
    }
}

fn guarded<T>(asked: Asked, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Errno::IO));
    if let Err(error) = &result {
        // Misses and refusals are a file system's daily bread; input and output errors are not.
        if matches!(*error, Errno::IO | Errno::STALE | Errno::NOSPC | Errno::MFILE | Errno::NFILE) {
            tracing::warn!(request = asked.name(), %error, "failed");
        } else {
            tracing::trace!(request = asked.name(), %error, "refused");
        }
    }
    result
}

pub(super) fn done(to: ReplyEmpty, (): ()) {
    to.ok();
}

/// The attributes of a node, for as long as `lifetime` says.
pub(super) fn attr(lifetime: impl Fn(NodeId) -> Duration) -> impl FnOnce(ReplyAttr, Attr) {
    move |to, attr| to.attr(&lifetime(attr.id), &convert::attr(&attr))
}

pub(super) fn entry(lifetime: impl Fn(NodeId) -> Duration) -> impl FnOnce(ReplyEntry, Attr) {
    move |to, attr| to.entry(&lifetime(attr.id), &convert::attr(&attr), Generation(0))
}

pub(super) fn entry_or_none(lifetime: impl Fn(NodeId) -> Duration) -> impl FnOnce(ReplyEntry, Option<Attr>) {
    move |to, attr| match attr {
        Some(attr) => entry(lifetime)(to, attr),
        // Number 0: the kernel remembers that there is nothing, which it does not after ENOENT.
        None => to.entry(&FOR_EVER, &NOTHING, Generation(0)),
    }
}

const NOTHING: FileAttr = FileAttr {
    ino: INodeNo(0),
    size: 0,
    blocks: 0,
    atime: UNIX_EPOCH,
    mtime: UNIX_EPOCH,
    ctime: UNIX_EPOCH,
    crtime: UNIX_EPOCH,
    kind: FileType::RegularFile,
    perm: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    blksize: 0,
    flags: 0,
};

pub(super) fn written(to: ReplyWrite, count: usize) {
    to.written(u32::try_from(count).unwrap_or(u32::MAX));
}

pub(super) fn stat_fs(to: ReplyStatfs, fs: FsStat) {
    let FsStat { blocks, blocks_free, blocks_available, files, files_free, block_size, fragment_size, name_max } = fs;
    to.statfs(blocks, blocks_free, blocks_available, files, files_free, block_size, name_max, fragment_size);
}

/// Checks that a value fits in the `size` bytes that were offered; 0 asks for its length only.
pub(super) fn fits(value: Vec<u8>, size: u32) -> Result<Vec<u8>> {
    if size == 0 || value.len() <= size as usize { Ok(value) } else { Err(Errno::RANGE) }
}

pub(super) fn xattr(size: u32) -> impl FnOnce(ReplyXattr, Vec<u8>) {
    move |to, value| match size {
        0 => to.size(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        _ => to.data(&value),
    }
}

/// Answers with what `read` puts into a buffer of `size` bytes, which a thread makes once.
pub(super) fn data(asked: Asked, to: ReplyData, size: usize, read: impl FnOnce(&mut [u8]) -> Result<usize>) {
    thread_local!(static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        let result = guarded(asked, || read(&mut buffer[..size]));
        match result {
            Ok(count) => to.data(&buffer[..count.min(size)]),
            Err(errno) => to.refuse(FuseErrno::from_i32(errno.raw_os_error())),
        }
    });
}

/// Fills a listing from batches of entries until it is full or they end.
pub(super) fn directory(
    asked: Asked,
    mut to: ReplyDirectory,
    offset: u64,
    batch: impl Fn(u64) -> Result<Vec<DirItem>>,
) {
    let filled = fill(asked, offset, batch, |item| {
        Ok(!to.add(INodeNo(item.id.0), item.offset, convert::kind(item.kind), item.name()))
    });
    match filled {
        Ok(()) => to.ok(),
        Err(errno) => to.refuse(FuseErrno::from_i32(errno.raw_os_error())),
    }
}

/// As [`directory`], with a lookup of each entry.
pub(super) fn directory_plus(
    asked: Asked,
    mut to: ReplyDirectoryPlus,
    offset: u64,
    union: Result<&Union>,
    dir: NodeId,
    lifetime: impl Fn(NodeId) -> Duration,
) {
    let batch = |offset| union?.read_dir(dir, offset);
    match fill(asked, offset, batch, |item| add_plus(&mut to, union?, dir, item, &lifetime)) {
        Ok(()) => to.ok(),
        Err(errno) => to.refuse(FuseErrno::from_i32(errno.raw_os_error())),
    }
}

/// Calls `add` with each entry until it answers that there is no room. An error behind the first entry
/// ends the listing there: what was added counts, and the error comes when the reader goes on.
fn fill(
    asked: Asked,
    mut offset: u64,
    batch: impl Fn(u64) -> Result<Vec<DirItem>>,
    mut add: impl FnMut(&DirItem) -> Result<bool>,
) -> Result<()> {
    let mut added = false;
    let result = guarded(asked, || {
        loop {
            let items = batch(offset)?;
            if items.is_empty() {
                return Ok(());
            }
            for item in &items {
                if !add(item)? {
                    return Ok(());
                }
                (offset, added) = (item.offset, true);
            }
            // To ask once more would make a list anew of a directory that was read to its end.
            if items.len() < DIR_BATCH {
                return Ok(());
            }
        }
    });
    if added { Ok(()) } else { result }
}

/// Whether there was room.
fn add_plus(
    to: &mut ReplyDirectoryPlus,
    union: &Union,
    dir: NodeId,
    item: &DirItem,
    lifetime: impl Fn(NodeId) -> Duration,
) -> Result<bool> {
    let Some(name) = item.entry_name() else {
        // The kernel takes no lookup for the dots, and only their number and kind from the attributes.
        let attr = FileAttr { ino: INodeNo(item.id.0), kind: convert::kind(item.kind), ..NOTHING };
        return Ok(!to.add(attr.ino, item.offset, item.name(), &Duration::ZERO, &attr, Generation(0)));
    };
    let attr = match union.lookup(dir, name) {
        Ok(Some(attr)) => attr,
        // Removed since it was listed.
        Ok(None) => return Ok(true),
        // That one entry cannot be resolved is told to who asks for it, and not to who lists the others. The
        // kernel lists what has an impossible size, and keeps nothing of it.
        Err(_) => {
            let ino = INodeNo(item.id.0 | 3 << 62);
            let attr = FileAttr { ino, kind: convert::kind(item.kind), size: u64::MAX, ..NOTHING };
            return Ok(!to.add(ino, item.offset, name.as_os_str(), &Duration::ZERO, &attr, Generation(0)));
        }
    };
    let shown = convert::attr(&attr);
    let full = to.add(shown.ino, item.offset, name.as_os_str(), &lifetime(attr.id), &shown, Generation(0));
    if full {
        union.forget(attr.id, 1);
    }
    Ok(!full)
}
