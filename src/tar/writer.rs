//! Writes an archive entry by entry: ustar headers, with PAX records for values that do not fit in them.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;

use tar::{EntryType, Header};

use super::entry::{Entry, Kind, XATTR_PREFIX};
use super::{Error, pax};
use crate::sys::File;

const BLOCK: usize = 512;
/// The largest number in an octal field of seven digits and of eleven digits.
const OCTAL_7: u64 = 0o777_7777;
const OCTAL_11: u64 = 0o777_7777_7777;

pub(super) struct Writer<W> {
    to: W,
    /// Bytes of content written for the current entry.
    content: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(to: W) -> Writer<W> {
        Writer { to, content: 0 }
    }

    /// Begins an entry. `entry.size` bytes of content must follow, then [`end`](Self::end).
    pub(super) fn begin(&mut self, entry: &Entry) -> Result<(), Error> {
        let mut records = Vec::new();
        let header = header(entry, &mut records);
        if !records.is_empty() {
            let mut extension = Header::new_ustar();
            extension.as_old_mut().name[..9].copy_from_slice(b"PaxHeader");
            extension.set_entry_type(EntryType::XHeader);
            extension.set_mode(0o644);
            extension.set_uid(0);
            extension.set_gid(0);
            extension.set_mtime(0);
            extension.set_size(records.len() as u64);
            extension.set_cksum();
            self.write(extension.as_bytes())?;
            self.content(&records)?;
            self.end()?;
        }
        self.write(header.as_bytes())
    }

    pub(super) fn content(&mut self, data: &[u8]) -> Result<(), Error> {
        self.write(data)?;
        self.content += data.len() as u64;
        Ok(())
    }

    /// Writes the content of `entry` from `file`.
    pub(super) fn content_of(&mut self, file: &File, entry: &Entry, buffer: &mut [u8]) -> Result<(), Error> {
        let mut done = 0;
        while done < entry.size {
            let want = usize::try_from(entry.size - done).unwrap_or(usize::MAX).min(buffer.len());
            let read = file.read_at(&mut buffer[..want], done);
            let got = read.map_err(|source| Error::Tree { path: entry.path.clone(), action: "read it", source })?;
            if got == 0 {
                return Err(Error::Shrunk { path: entry.path.clone(), expected: entry.size, found: done });
            }
            self.content(&buffer[..got])?;
            done += got as u64;
        }
        Ok(())
    }

    /// Ends an entry: fills the last block of its content.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        let padding = self.content.wrapping_neg() % BLOCK as u64;
        self.content = 0;
        self.write(&[0; BLOCK][..padding as usize])
    }

    /// Writes the two empty blocks that end the archive.
    pub(super) fn finish(mut self) -> Result<W, Error> {
        self.write(&[0; 2 * BLOCK])?;
        self.to.flush().map_err(Error::Write)?;
        Ok(self.to)
    }

    fn write(&mut self, data: &[u8]) -> Result<(), Error> {
        self.to.write_all(data).map_err(Error::Write)
    }
}

/// The header of `entry`; values that do not fit in it go to `records`.
fn header(entry: &Entry, records: &mut Vec<u8>) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(match entry.kind {
        Kind::Regular => EntryType::Regular,
        Kind::Directory => EntryType::Directory,
        Kind::Symlink => EntryType::Symlink,
        Kind::HardLink => EntryType::Link,
        Kind::CharDevice { .. } => EntryType::Char,
        Kind::BlockDevice { .. } => EntryType::Block,
        Kind::Fifo => EntryType::Fifo,
    });
    let (path, target) = (path_bytes(entry), entry.target.as_bytes());
    let old = header.as_old_mut();
    put(&mut old.name, "path", &path, records);
    put(&mut old.linkname, "linkpath", target, records);
    header.set_mode(entry.perm);
    header.set_uid(fit("uid", entry.uid.into(), OCTAL_7, records));
    header.set_gid(fit("gid", entry.gid.into(), OCTAL_7, records));
    header.set_size(fit("size", entry.size, OCTAL_11, records));
    let seconds = u64::try_from(entry.mtime.sec).ok().filter(|sec| *sec <= OCTAL_11);
    if seconds.is_none() || entry.mtime.nsec != 0 {
        pax::push(records, b"mtime", pax::time(entry.mtime).as_bytes());
    }
    header.set_mtime(seconds.unwrap_or(0));
    if let (Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor }, Some(ustar)) =
        (entry.kind, header.as_ustar_mut())
    {
        ustar.set_device_major(major);
        ustar.set_device_minor(minor);
    }
    for (key, value) in &entry.xattrs {
        pax::push(records, &[XATTR_PREFIX, key.as_bytes()].concat(), value);
    }
    header.set_cksum();
    header
}

/// A directory's name ends in a slash.
fn path_bytes(entry: &Entry) -> Vec<u8> {
    let mut path = entry.path.as_os_str().as_bytes().to_vec();
    if entry.kind == Kind::Directory {
        path.push(b'/');
    }
    path
}

/// Writes as much of a name as its field holds. A name that is longer also goes to a record as a whole.
fn put(field: &mut [u8; 100], key: &str, name: &[u8], records: &mut Vec<u8>) {
    let len = name.len().min(field.len());
    field[..len].copy_from_slice(&name[..len]);
    if name.len() > field.len() {
        pax::push(records, key.as_bytes(), name);
    }
}

/// The number for a field that holds up to `max`; a larger one goes to a record.
fn fit(key: &str, number: u64, max: u64, records: &mut Vec<u8>) -> u64 {
    if number <= max {
        return number;
    }
    pax::push(records, key.as_bytes(), number.to_string().as_bytes());
    0
}
