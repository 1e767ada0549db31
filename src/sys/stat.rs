//! The attributes of files and the statistics of file systems.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Stat as RawStat, StatVfs, Statx, StatxAttributes, StatxTimestamp, Timespec};

/// Seconds and nanoseconds since 1970; seconds may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp {
    /// Seconds since 1970; negative before.
    pub sec: i64,
    /// Nanoseconds, below 10⁹.
    pub nsec: u32,
}

/// A time outside the range of `SystemTime` becomes 1970.
impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> SystemTime {
        let seconds = Duration::from_secs(time.sec.unsigned_abs());
        let whole = if time.sec < 0 { UNIX_EPOCH.checked_sub(seconds) } else { UNIX_EPOCH.checked_add(seconds) };
        let exact = whole.and_then(|whole| whole.checked_add(Duration::from_nanos(time.nsec.into())));
        exact.unwrap_or(UNIX_EPOCH)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp { sec: seconds(since), nsec: since.subsec_nanos() },
            // Nanoseconds count upwards before 1970 as well, so the seconds round down.
            Err(before) => match before.duration() {
                before if before.subsec_nanos() == 0 => {
                    Timestamp { sec: 0_i64.saturating_sub_unsigned(before.as_secs()), nsec: 0 }
                }
                before => Timestamp { sec: -1 - seconds(before), nsec: 1_000_000_000 - before.subsec_nanos() },
            },
        }
    }
}

impl Timestamp {
    pub(super) fn to_timespec(self) -> Timespec {
        Timespec { tv_sec: self.sec, tv_nsec: self.nsec.into() }
    }
}

/// The new value of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The time stays.
    Keep,
    /// The current time.
    Now,
    /// This time.
    To(Timestamp),
}

/// The seven kinds of file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    #[default]
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
}

impl Kind {
    /// The kind in the `S_IFMT` bits of `mode`; unknown bits count as regular.
    pub fn of_mode(mode: u32) -> Kind {
        match FileType::from_raw_mode(mode) {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::RegularFile | FileType::Unknown => Kind::Regular,
        }
    }

    /// The `S_IFMT` bits.
    pub fn mode_bits(self) -> u32 {
        self.to_file_type().as_raw_mode()
    }

    pub(super) fn to_file_type(self) -> FileType {
        match self {
            Kind::Directory => FileType::Directory,
            Kind::Symlink => FileType::Symlink,
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            Kind::Fifo => FileType::Fifo,
            Kind::Socket => FileType::Socket,
            Kind::Regular => FileType::RegularFile,
        }
    }
}

/// The result of `stat(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// The file system's device number.
    pub dev: u64,
    /// The inode number.
    pub ino: u64,
    /// What kind of file it is.
    pub kind: Kind,
    /// The low twelve bits: permissions, set-id and sticky.
    pub perm: u32,
    /// How many names the file has.
    pub nlink: u32,
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Device number of a device node, as `makedev` packs it.
    pub rdev: u64,
    /// Bytes.
    pub size: u64,
    /// Allocated, in units of 512 bytes.
    pub blocks: u64,
    /// The best size for one read or write, in bytes.
    pub block_size: u32,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last change of content or attributes.
    pub ctime: Timestamp,
    /// The immutable flag: nothing of the file may change. Only set by a `stat` by name.
    pub immutable: bool,
    /// The append-only flag: data may only be added. Only set by a `stat` by name.
    pub append_only: bool,
}

impl Stat {
    /// Whether this is a character device 0/0, overlayfs's whiteout.
    pub fn is_whiteout_device(&self) -> bool {
        self.kind == Kind::CharDevice && self.rdev == 0
    }
}

impl From<RawStat> for Stat {
    fn from(s: RawStat) -> Stat {
        let time = |sec, nsec: u64| Timestamp { sec, nsec: nsec as u32 };
        Stat {
            dev: s.st_dev,
            ino: s.st_ino,
            kind: Kind::of_mode(s.st_mode),
            perm: s.st_mode & 0o7777,
            nlink: s.st_nlink as u32,
            uid: s.st_uid,
            gid: s.st_gid,
            rdev: s.st_rdev,
            size: s.st_size as u64,
            blocks: s.st_blocks as u64,
            block_size: s.st_blksize as u32,
            atime: time(s.st_atime, s.st_atime_nsec),
            mtime: time(s.st_mtime, s.st_mtime_nsec),
            ctime: time(s.st_ctime, s.st_ctime_nsec),
            immutable: false,
            append_only: false,
        }
    }
}

impl From<Statx> for Stat {
    fn from(s: Statx) -> Stat {
        let time = |time: StatxTimestamp| Timestamp { sec: time.tv_sec, nsec: time.tv_nsec };
        let mode = u32::from(s.stx_mode);
        Stat {
            dev: rustix::fs::makedev(s.stx_dev_major, s.stx_dev_minor),
            ino: s.stx_ino,
            kind: Kind::of_mode(mode),
            perm: mode & 0o7777,
            nlink: s.stx_nlink,
            uid: s.stx_uid,
            gid: s.stx_gid,
            rdev: rustix::fs::makedev(s.stx_rdev_major, s.stx_rdev_minor),
            size: s.stx_size,
            blocks: s.stx_blocks,
            block_size: s.stx_blksize,
            atime: time(s.stx_atime),
            mtime: time(s.stx_mtime),
            ctime: time(s.stx_ctime),
            immutable: s.stx_attributes.contains(StatxAttributes::IMMUTABLE),
            append_only: s.stx_attributes.contains(StatxAttributes::APPEND),
        }
    }
}

/// The result of `statvfs(3)`; counts are in units of `fragment_size` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FsStat {
    /// All blocks, of `fragment_size` bytes each.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Blocks that ordinary users can still take.
    pub blocks_available: u64,
    /// All inodes.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// The best size for one read or write, in bytes.
    pub block_size: u32,
    /// The size of a block, in bytes.
    pub fragment_size: u32,
    /// The longest name, in bytes.
    pub name_max: u32,
}

impl From<StatVfs> for FsStat {
    fn from(s: StatVfs) -> FsStat {
        FsStat {
            blocks: s.f_blocks,
            blocks_free: s.f_bfree,
            blocks_available: s.f_bavail,
            files: s.f_files,
            files_free: s.f_ffree,
            block_size: s.f_bsize as u32,
            fragment_size: s.f_frsize as u32,
            name_max: s.f_namemax as u32,
        }
    }
}

/// Packs a device number, as `makedev` does.
pub fn make_device(major: u32, minor: u32) -> u64 {
    rustix::fs::makedev(major, minor)
}

/// The major number of `device`.
pub fn device_major(device: u64) -> u32 {
    rustix::fs::major(device)
}

/// The minor number of `device`.
pub fn device_minor(device: u64) -> u32 {
    rustix::fs::minor(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds_on_both_sides_of_1970() {
        for (sec, nsec) in [(0, 0), (0, 7), (9, 999_999_999), (-1, 0), (-1, 7), (-2, 999_999_993), (i64::MIN, 0)] {
            let time = Timestamp { sec, nsec };
            assert_eq!(Timestamp::from(SystemTime::from(time)), time);
        }
        let before = UNIX_EPOCH - Duration::from_millis(250);
        assert_eq!(Timestamp::from(before), Timestamp { sec: -1, nsec: 750_000_000 });
        assert_eq!(SystemTime::from(Timestamp { sec: i64::MAX, nsec: u32::MAX }), UNIX_EPOCH);
    }
}
