//! Owner, mode and kind of a file: as the file system has them, or from an attribute if this process may not set them.

use std::ffi::OsStr;

use crate::sys::xattr::{self, Of, Set};
use crate::sys::{Errno, Kind, Result, Stat, device_major, device_minor, make_device};

use super::marks::OVERRIDE_STAT;
use super::whiteout;

/// How owners are kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// As the owners of the files.
    Real,
    /// In [`OVERRIDE_STAT`], because this process may not change the owner of a file.
    Recorded,
}

/// What the attribute records: `UID:GID:MODE[:TYPE]`, where TYPE is `file`, `dir`, `symlink`, `pipe`,
/// `socket`, `block-MAJOR-MINOR` or `char-MAJOR-MINOR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The low twelve bits of the mode.
    pub perm: u32,
    /// `None` if the file has its real kind on disk.
    pub kind: Option<Kind>,
    /// Device number as `makedev` packs it; 0 if the file is no device.
    pub rdev: u64,
}

impl Recorded {
    /// Reads the attribute's value; `None` when it is malformed.
    pub fn parse(value: &[u8]) -> Option<Recorded> {
        let mut fields = std::str::from_utf8(value).ok()?.split(':');
        let uid = fields.next()?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let perm = u32::from_str_radix(fields.next()?, 8).ok()? & 0o7777;
        let (kind, rdev) = match fields.next() {
            None => (None, 0),
            Some(kind) => parse_kind(kind)?,
        };
        fields.next().is_none().then_some(Recorded { uid, gid, perm, kind, rdev })
    }

    /// The attribute's value.
    pub fn to_value(&self) -> Vec<u8> {
        let Recorded { uid, gid, perm, .. } = self;
        let base = format!("{uid}:{gid}:0{perm:o}");
        let device = |name| format!("{base}:{name}-{}-{}", device_major(self.rdev), device_minor(self.rdev));
        match self.kind {
            None => base,
            Some(Kind::Regular) => base + ":file",
            Some(Kind::Directory) => base + ":dir",
            Some(Kind::Symlink) => base + ":symlink",
            Some(Kind::Fifo) => base + ":pipe",
            Some(Kind::Socket) => base + ":socket",
            Some(Kind::BlockDevice) => device("block"),
            Some(Kind::CharDevice) => device("char"),
        }
        .into_bytes()
    }

    /// Records this on a file.
    ///
    /// # Errors
    /// As `setxattr(2)`.
    pub fn write(&self, of: Of<'_>) -> Result<()> {
        xattr::set(of, OsStr::new(OVERRIDE_STAT), &self.to_value(), Set::Any)
    }

    /// A record of the attributes in `stat`.
    pub fn of_stat(stat: &Stat) -> Recorded {
        let device = matches!(stat.kind, Kind::BlockDevice | Kind::CharDevice);
        Recorded {
            uid: stat.uid,
            gid: stat.gid,
            perm: stat.perm,
            kind: Some(stat.kind),
            rdev: if device { stat.rdev } else { 0 },
        }
    }
}

fn parse_kind(text: &str) -> Option<(Option<Kind>, u64)> {
    let plain = |kind| Some((Some(kind), 0));
    match text {
        "file" => return plain(Kind::Regular),
        "dir" => return plain(Kind::Directory),
        "symlink" => return plain(Kind::Symlink),
        "pipe" => return plain(Kind::Fifo),
        "socket" => return plain(Kind::Socket),
        _ => {}
    }
    let mut parts = text.split('-');
    let kind = match parts.next()? {
        "block" => Kind::BlockDevice,
        "char" => Kind::CharDevice,
        _ => return None,
    };
    let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some((Some(kind), make_device(major, minor)))
}

impl Owners {
    /// Converts `stat`, the attributes as the kernel has them, to those that users see.
    ///
    /// # Errors
    /// As `getxattr(2)`.
    pub fn stat(self, of: Of<'_>, stat: Stat) -> Result<Stat> {
        match self {
            Owners::Real => whiteout::shown(of, stat),
            Owners::Recorded => {
                // Only files and directories can carry a record. Everything else is taken to belong to root.
                let unrecorded = Stat { uid: 0, gid: 0, ..stat };
                if !matches!(stat.kind, Kind::Regular | Kind::Directory) {
                    return Ok(unrecorded);
                }
                let value = match xattr::get(of, OsStr::new(OVERRIDE_STAT)) {
                    Err(Errno::ACCESS | Errno::PERM) => None,
                    other => other?,
                };
                Ok(match value.as_deref().and_then(Recorded::parse) {
                    None => unrecorded,
                    Some(record) => record.apply(stat),
                })
            }
        }
    }
}

impl Recorded {
    fn apply(&self, stat: Stat) -> Stat {
        // A record cannot turn a file into a directory or the reverse, because the union walks the real directories.
        let kind = match self.kind {
            Some(kind) if kind != Kind::Directory && stat.kind == Kind::Regular => kind,
            _ => stat.kind,
        };
        Stat { uid: self.uid, gid: self.gid, perm: self.perm, kind, rdev: self.rdev, ..stat }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_writing_and_reading() {
        for text in [
            "0:0:0755",
            "0:0:04755:file",
            "1000:50:0700:dir",
            "0:0:0666:char-1-3",
            "0:6:0660:block-259-1048575",
            "0:0:0644:pipe",
            "0:0:0777:symlink",
            "0:0:0777:socket",
        ] {
            let record = Recorded::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(String::from_utf8_lossy(&record.to_value()), text);
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for text in [
            "",
            "0",
            "0:0",
            "0:0:9",
            "x:0:755",
            "0:0:0644:file:1",
            "0:0:0644:char-1",
            "0:0:0644:char-1-2-3",
            "-1:0:644",
        ] {
            assert_eq!(Recorded::parse(text.as_bytes()), None, "{text}");
        }
    }
}
