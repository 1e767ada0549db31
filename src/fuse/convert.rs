//! Between what the union says and what `fuser` wants to hear.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo, RenameFlags, TimeOrNow};

use crate::sys::{Errno, Kind, Result, SetTime, Timestamp};
use crate::union::{Attr, How, NodeId};

pub(super) fn id(ino: INodeNo) -> NodeId {
    NodeId(ino.0)
}

pub(super) fn kind(kind: Kind) -> FileType {
    match kind {
        Kind::Regular => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
        Kind::CharDevice => FileType::CharDevice,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
    }
}

pub(super) fn attr(attr: &Attr) -> FileAttr {
    let stat = &attr.stat;
    FileAttr {
        ino: INodeNo(attr.id.0),
        size: stat.size,
        blocks: stat.blocks,
        atime: system_time(stat.atime),
        mtime: system_time(stat.mtime),
        ctime: system_time(stat.ctime),
        crtime: UNIX_EPOCH,
        kind: kind(stat.kind),
        perm: stat.perm as u16,
        nlink: stat.nlink,
        uid: stat.uid,
        gid: stat.gid,
        rdev: u32::try_from(stat.rdev).unwrap_or(u32::MAX),
        blksize: stat.block_size,
        flags: 0,
    }
}

fn system_time(time: Timestamp) -> SystemTime {
    let nanos = Duration::from_nanos(time.nsec.into());
    let seconds = Duration::from_secs(time.sec.unsigned_abs());
    let whole = if time.sec < 0 { UNIX_EPOCH.checked_sub(seconds) } else { UNIX_EPOCH.checked_add(seconds) };
    whole.and_then(|whole| whole.checked_add(nanos)).unwrap_or(UNIX_EPOCH)
}

fn timestamp(time: SystemTime) -> Timestamp {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp { sec: since.as_secs().cast_signed(), nsec: since.subsec_nanos() },
        // fuser 0.18 makes of seconds -1 and nanoseconds 5 what is 1 s and 5 ns before 1970.
        Err(before) => {
            let before = before.duration();
            Timestamp { sec: -before.as_secs().cast_signed(), nsec: before.subsec_nanos() }
        }
    }
}

pub(super) fn set_time(time: Option<TimeOrNow>) -> SetTime {
    match time {
        None => SetTime::Keep,
        Some(TimeOrNow::Now) => SetTime::Now,
        Some(TimeOrNow::SpecificTime(time)) => SetTime::To(timestamp(time)),
    }
}

/// What a rename does with an existing target, and whether it leaves a whiteout behind.
pub(super) fn rename_how(flags: RenameFlags) -> Result<(How, bool)> {
    let leaves = flags.contains(RenameFlags::RENAME_WHITEOUT);
    match replacing(flags - RenameFlags::RENAME_WHITEOUT)? {
        // Nothing is left behind that could take a whiteout's place.
        How::Exchange if leaves => Err(Errno::INVAL),
        how => Ok((how, leaves)),
    }
}

fn replacing(flags: RenameFlags) -> Result<How> {
    if flags.is_empty() {
        Ok(How::Replace)
    } else if flags == RenameFlags::RENAME_NOREPLACE {
        Ok(How::NoReplace)
    } else if flags == RenameFlags::RENAME_EXCHANGE {
        Ok(How::Exchange)
    } else {
        Err(Errno::INVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_on_both_sides_of_1970_keep_their_nanoseconds() {
        for (sec, nsec) in [(0, 0), (1, 1), (-1, 0), (-1, 999_999_999), (-2, 1), (1 << 33, 5), (-(1 << 31), 7)] {
            let time = system_time(Timestamp { sec, nsec });
            let apart = match time.duration_since(UNIX_EPOCH) {
                Ok(since) => since.as_nanos().cast_signed(),
                Err(before) => -before.duration().as_nanos().cast_signed(),
            };
            assert_eq!(apart, i128::from(sec) * 1_000_000_000 + i128::from(nsec), "{sec} {nsec}");
        }
    }

    #[test]
    fn times_before_1970_are_read_as_fuser_writes_them() {
        let written = UNIX_EPOCH - Duration::new(1, 5);
        assert_eq!(timestamp(written), Timestamp { sec: -1, nsec: 5 });
        assert_eq!(timestamp(UNIX_EPOCH + Duration::new(1, 5)), Timestamp { sec: 1, nsec: 5 });
    }
}
