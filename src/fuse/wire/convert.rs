//! Conversions between types of the union and the kernel's messages.

use crate::sys::{Errno, IdKind, IdMaps, Result, SetTime, Timestamp, device_major, device_minor};
use crate::union::{Attr, Change, How};

use super::abi::{self, fattr, statx};

/// A lifetime in seconds: lower layers never change, and only this process changes the upper.
pub(in crate::fuse) const FOR_EVER: u64 = u32::MAX as u64;

pub(in crate::fuse) fn attr(attr: &Attr, ids: &IdMaps) -> abi::Attr {
    let stat = &attr.stat;
    abi::Attr {
        ino: attr.id.0,
        size: stat.size,
        blocks: stat.blocks,
        atime: stat.atime.sec.cast_unsigned(),
        mtime: stat.mtime.sec.cast_unsigned(),
        ctime: stat.ctime.sec.cast_unsigned(),
        atimensec: stat.atime.nsec,
        mtimensec: stat.mtime.nsec,
        ctimensec: stat.ctime.nsec,
        mode: stat.kind.mode_bits() | stat.perm,
        nlink: stat.nlink,
        uid: ids.to_outside(IdKind::User, stat.uid),
        gid: ids.to_outside(IdKind::Group, stat.gid),
        rdev: u32::try_from(stat.rdev).unwrap_or(u32::MAX),
        blksize: stat.block_size,
        flags: 0,
    }
}

/// As [`attr`], with the time at which the file was made if that is known.
pub(in crate::fuse) fn statx(attr: &Attr, birth: Option<Timestamp>, ids: &IdMaps) -> abi::Statx {
    let stat = &attr.stat;
    let time = |time: Timestamp| abi::StatxTime { sec: time.sec, nsec: time.nsec, _reserved: 0 };
    abi::Statx {
        mask: statx::BASIC_STATS | birth.map_or(0, |_| statx::BTIME),
        blksize: stat.block_size,
        attributes: 0,
        nlink: stat.nlink,
        uid: ids.to_outside(IdKind::User, stat.uid),
        gid: ids.to_outside(IdKind::Group, stat.gid),
        // Twelve bits, and four of the kind.
        mode: (stat.kind.mode_bits() | stat.perm) as u16,
        _spare0: 0,
        ino: attr.id.0,
        size: stat.size,
        blocks: stat.blocks,
        attributes_mask: 0,
        atime: time(stat.atime),
        btime: time(birth.unwrap_or_default()),
        ctime: time(stat.ctime),
        mtime: time(stat.mtime),
        rdev_major: device_major(stat.rdev),
        rdev_minor: device_minor(stat.rdev),
        dev_major: 0,
        dev_minor: 0,
        _spare2: [0; 14],
    }
}

/// The node of a name. The kernel may cache the name for ever, and the attributes for `valid` seconds.
pub(in crate::fuse) fn entry(of: &Attr, valid: u64, ids: &IdMaps) -> abi::EntryOut {
    abi::EntryOut {
        nodeid: of.id.0,
        generation: 0,
        entry_valid: FOR_EVER,
        attr_valid: valid,
        entry_valid_nsec: 0,
        attr_valid_nsec: 0,
        attr: attr(of, ids),
    }
}

/// What a SETATTR request changes.
///
/// # Errors
/// `EINVAL` for an owner that has no number here.
pub(in crate::fuse) fn change(wanted: &abi::SetattrIn, ids: &IdMaps) -> Result<Change> {
    let given = |bit: u32| wanted.valid & bit != 0;
    let time = |set, now, sec: u64, nsec| match (given(set), given(now)) {
        (false, _) => SetTime::Keep,
        (true, true) => SetTime::Now,
        (true, false) => SetTime::To(Timestamp { sec: sec.cast_signed(), nsec }),
    };
    let id = |bit, kind, id| given(bit).then(|| ids.to_inside(kind, id)).transpose();
    Ok(Change {
        perm: given(fattr::MODE).then_some(wanted.mode),
        uid: id(fattr::UID, IdKind::User, wanted.uid)?,
        gid: id(fattr::GID, IdKind::Group, wanted.gid)?,
        size: given(fattr::SIZE).then_some(wanted.size),
        atime: time(fattr::ATIME, fattr::ATIME_NOW, wanted.atime, wanted.atimensec),
        mtime: time(fattr::MTIME, fattr::MTIME_NOW, wanted.mtime, wanted.mtimensec),
    })
}

/// What a rename does with an existing target, and whether it leaves a whiteout behind.
pub(in crate::fuse) fn rename_how(flags: u32) -> Result<(How, bool)> {
    const NOREPLACE: u32 = 1 << 0;
    const EXCHANGE: u32 = 1 << 1;
    const WHITEOUT: u32 = 1 << 2;
    let leaves = flags & WHITEOUT != 0;
    match flags & !WHITEOUT {
        0 => Ok((How::Replace, leaves)),
        NOREPLACE => Ok((How::NoReplace, leaves)),
        // Both names exist after an exchange, so there is no place for a whiteout.
        EXCHANGE if !leaves => Ok((How::Exchange, false)),
        _ => Err(Errno::INVAL),
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    #[test]
    fn times_before_1970_keep_their_nanoseconds() {
        let mut wanted = abi::SetattrIn::new_zeroed();
        wanted.valid = fattr::MTIME | fattr::ATIME | fattr::ATIME_NOW;
        (wanted.mtime, wanted.mtimensec) = (u64::MAX, 5);
        let change = change(&wanted, &IdMaps::default()).unwrap();
        assert_eq!(change.mtime, SetTime::To(Timestamp { sec: -1, nsec: 5 }));
        assert_eq!(change.atime, SetTime::Now);
        assert_eq!(Change { mtime: SetTime::Keep, atime: SetTime::Keep, ..change }, Change::default());
    }

    #[test]
    fn a_rename_exchanges_or_leaves_a_whiteout_but_not_both() {
        assert_eq!(rename_how(0), Ok((How::Replace, false)));
        assert_eq!(rename_how(1), Ok((How::NoReplace, false)));
        assert_eq!(rename_how(2), Ok((How::Exchange, false)));
        assert_eq!(rename_how(4), Ok((How::Replace, true)));
        for flags in [3, 6, 8] {
            assert_eq!(rename_how(flags), Err(Errno::INVAL));
        }
    }
}
