//! Whose a file is: as the file system says, or as an attribute records where ids cannot be stored.

use std::ffi::OsStr;

use crate::sys::xattr::{self, Of, Set};
use crate::sys::{Errno, Kind, Result, Stat, device_major, device_minor, make_device};

use super::marks::OVERRIDE_STAT;
use super::whiteout;

/// How owners are kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// As owners.
    Real,
    /// In [`OVERRIDE_STAT`], since this process may not give files away.
    Recorded,
}

/// What the attribute records: `UID:GID:MODE[:TYPE]`, where TYPE is `file`, `dir`, `symlink`, `pipe`,
/// `socket`, `block-MAJOR-MINOR` or `char-MAJOR-MINOR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub uid: u32,
    pub gid: u32,
    /// The low twelve bits of the mode.
    pub perm: u32,
    /// `None` where the file's own kind is the right one.
    pub kind: Option<Kind>,
    /// Device number as `makedev` packs it; 0 for what is no device.
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

    /// What a file shows now, as a record of it.
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
    /// The attributes that users shall see of a file that the kernel describes by `stat`.
    ///
    /// # Errors
    /// As `getxattr(2)`.
    pub fn stat(self, of: Of<'_>, stat: Stat) -> Result<Stat> {
        match self {
            Owners::Real => whiteout::shown(of, stat),
            Owners::Recorded => {
                // What can carry no record (only files and directories can) was made by root of the image.
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
        // A record cannot make a directory of a file, or the reverse: the union walks what is there.
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
