//! One decoded entry of an archive: names, numbers and attributes, from any kind of header.
//!
//! Numbers are checked to be in range here. Names are not checked against a tree.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use tar::Header;

use super::number::number;
use super::sparse::{Segment, SparseRecords};
use super::{Error, pax};
use crate::sys::Timestamp;

/// The prefix of PAX records that hold extended attributes.
pub(super) const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// The kind of file that an entry makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Regular,
    Directory,
    Symlink,
    HardLink,
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
}

impl Kind {
    /// Whether blocks of content can follow the header.
    pub(super) fn has_content(self) -> bool {
        self == Kind::Regular
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    /// As the archive writes it.
    pub path: PathBuf,
    pub kind: Kind,
    /// The low twelve bits.
    pub perm: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Timestamp,
    /// Target of a symbolic link, or the path in the layer that a hard link names.
    pub target: OsString,
    pub xattrs: Vec<(OsString, Vec<u8>)>,
    /// Bytes of the file, holes included.
    pub size: u64,
    /// For a file with holes: where in the file the bytes of the archive go.
    pub sparse: Option<Vec<Segment>>,
}

impl Entry {
    /// An entry with neither content nor attributes.
    pub(super) fn bare(path: PathBuf, kind: Kind) -> Entry {
        Entry {
            path,
            kind,
            perm: 0,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            target: OsString::new(),
            xattrs: Vec::new(),
            size: 0,
            sparse: None,
        }
    }
}

/// The extension headers before an entry's own header.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub long_path: Option<Vec<u8>>,
    pub long_target: Option<Vec<u8>>,
    pub records: Vec<u8>,
}

impl Extensions {
    pub(super) fn is_empty(&self) -> bool {
        self.long_path.is_none() && self.long_target.is_none() && self.records.is_empty()
    }
}

/// The PAX records that are understood. A record with an empty value is ignored, so that the header's field counts.
#[derive(Debug, Default)]
pub(super) struct Records<'a> {
    path: Option<&'a [u8]>,
    target: Option<&'a [u8]>,
    size: Option<&'a [u8]>,
    uid: Option<&'a [u8]>,
    gid: Option<&'a [u8]>,
    mtime: Option<&'a [u8]>,
    xattrs: Vec<(&'a [u8], &'a [u8])>,
    pub(super) sparse: SparseRecords<'a>,
}

impl<'a> Records<'a> {
    pub(super) fn sort(records: &[(&'a [u8], &'a [u8])]) -> Records<'a> {
        let mut sorted = Records::default();
        for &(key, value) in records {
            if let Some(xattr) = key.strip_prefix(XATTR_PREFIX) {
                sorted.xattrs.push((xattr, value));
                continue;
            }
            let slot = match key {
                b"path" => &mut sorted.path,
                b"linkpath" => &mut sorted.target,
                b"size" => &mut sorted.size,
                b"uid" => &mut sorted.uid,
                b"gid" => &mut sorted.gid,
                b"mtime" => &mut sorted.mtime,
                b"GNU.sparse.major" => &mut sorted.sparse.major,
                b"GNU.sparse.name" => &mut sorted.sparse.name,
                b"GNU.sparse.map" => &mut sorted.sparse.map,
                b"GNU.sparse.size" | b"GNU.sparse.realsize" => &mut sorted.sparse.size,
                b"GNU.sparse.offset" => &mut sorted.sparse.offset,
                _ => continue,
            };
            *slot = Some(value).filter(|v| !v.is_empty());
        }
        sorted
    }
}

/// Decodes one entry's header together with its extension headers. `size` in the result is the number of bytes in its
/// blocks.
pub(super) fn decode(header: &Header, extensions: &Extensions, records: &Records<'_>) -> Result<Entry, Error> {
    let path = match (&extensions.long_path, records.sparse.name.or(records.path)) {
        (Some(long), _) => long.clone(),
        (None, Some(path)) => path.to_vec(),
        (None, None) => header.path_bytes().into_owned(),
    };
    let path = PathBuf::from(OsString::from_vec(path));
    let target = match (&extensions.long_target, records.target) {
        (Some(long), _) => long.clone(),
        (None, Some(target)) => target.to_vec(),
        (None, None) => header.link_name_bytes().unwrap_or_default().into_owned(),
    };
    let field = Fields { path: &path, header };
    let old = header.as_old();
    let kind = field.kind()?;
    let size = field.number("size", &old.size, records.size, i64::MAX as u64)?;
    let uid = field.number("uid", &old.uid, records.uid, u64::from(u32::MAX) - 1)?;
    let gid = field.number("gid", &old.gid, records.gid, u64::from(u32::MAX) - 1)?;
    let perm = field.number("mode", &old.mode, None, u64::from(u32::MAX))?;
    let mtime = field.mtime(records.mtime)?;
    let xattr = |&(key, value): &(&[u8], &[u8])| (OsStr::from_bytes(key).to_owned(), value.to_vec());
    let xattrs = records.xattrs.iter().map(xattr).collect();
    Ok(Entry {
        kind,
        perm: (perm & 0o7777) as u32,
        uid: uid as u32,
        gid: gid as u32,
        mtime,
        target: OsString::from_vec(target),
        xattrs,
        // In the other kinds this field has no content to count; some archivers put the length of a link's target
        // there.
        size: if kind.has_content() { size } else { 0 },
        sparse: None,
        path,
    })
}

struct Fields<'a> {
    path: &'a Path,
    header: &'a Header,
}

impl Fields<'_> {
    fn kind(&self) -> Result<Kind, Error> {
        Ok(match self.header.as_old().linkflag[0] {
            // Before POSIX, a trailing slash meant a directory.
            0 if self.path.as_os_str().as_bytes().ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::Regular,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => {
                let (major, minor) = self.device()?;
                Kind::CharDevice { major, minor }
            }
            b'4' => {
                let (major, minor) = self.device()?;
                Kind::BlockDevice { major, minor }
            }
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(Error::UnknownKind { path: self.path.into(), kind: other.into() }),
        })
    }

    fn device(&self) -> Result<(u32, u32), Error> {
        // Both formats that have device numbers keep them at the same offset.
        let (major, minor) = match (self.header.as_ustar(), self.header.as_gnu()) {
            (Some(ustar), _) => (&ustar.dev_major, &ustar.dev_minor),
            (None, Some(gnu)) => (&gnu.dev_major, &gnu.dev_minor),
            (None, None) => return Ok((0, 0)),
        };
        let major = self.number("device major", major, None, 0xfff)?;
        let minor = self.number("device minor", minor, None, 0xf_ffff)?;
        Ok((major as u32, minor as u32))
    }

    /// The number in the PAX record, or else in the header's field; must be in `0..=max`.
    fn number(&self, field: &'static str, raw: &[u8], record: Option<&[u8]>, max: u64) -> Result<u64, Error> {
        let found = match record {
            Some(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
            None => number(raw),
        };
        match found.and_then(|n| u64::try_from(n).ok()) {
            Some(n) if n <= max => Ok(n),
            _ => Err(self.out_of_range(field, record.unwrap_or(raw))),
        }
    }

    fn mtime(&self, record: Option<&[u8]>) -> Result<Timestamp, Error> {
        let raw = &self.header.as_old().mtime;
        let found = match record {
            Some(text) => pax::seconds(text),
            None => number(raw).map(|sec| Timestamp { sec, nsec: 0 }),
        };
        found.ok_or_else(|| self.out_of_range("mtime", record.unwrap_or(raw)))
    }

    fn out_of_range(&self, field: &'static str, found: &[u8]) -> Error {
        let found = found.strip_suffix(b"\0").unwrap_or(found).escape_ascii().to_string();
        Error::Number { path: self.path.into(), field, found }
    }
}
