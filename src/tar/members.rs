//! Reads an archive as a list of members instead of a tree. A saved image is such an archive.

use std::io::{self, Read};
use std::path::PathBuf;

use super::Error;
use super::entry::Kind;
use super::reader::Reader;

/// Reads an archive member by member. `Read` reads the content of the current member.
pub struct Members<R>(Reader<R>);

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// As the archive writes it.
    pub path: PathBuf,
    /// What kind of member it is.
    pub kind: MemberKind,
}

/// The kind of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say what their fields are")]
pub enum MemberKind {
    /// `size` bytes, which begin `at` bytes into the archive.
    /// A file of `size` bytes whose data begins at byte `at` of the archive.
    File { at: u64, size: u64 },
    /// The target of the link, relative to the member.
    Symlink(PathBuf),
    /// The path of another member.
    HardLink(PathBuf),
    /// A directory, a device, a file with holes.
    Other,
}

impl<R: Read> Members<R> {
    /// Reads from the beginning of `archive`, which is not compressed.
    pub fn new(archive: R) -> Members<R> {
        Members(Reader::new(archive))
    }

    /// The next member; `None` at the end of the archive, after the stream was read to its end.
    ///
    /// # Errors
    /// What is wrong with the archive, or why it cannot be read.
    pub fn next_member(&mut self) -> Result<Option<Member>, Error> {
        let Some(entry) = self.0.next()? else { return Ok(None) };
        let kind = match entry.kind {
            Kind::Regular if entry.sparse.is_none() => MemberKind::File { at: self.0.position(), size: entry.size },
            Kind::Symlink => MemberKind::Symlink(entry.target.into()),
            Kind::HardLink => MemberKind::HardLink(entry.target.into()),
            _ => MemberKind::Other,
        };
        Ok(Some(Member { path: entry.path, kind }))
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_content(buffer).map_err(|error| match error {
            Error::Read(error) => error,
            Error::Truncated { .. } => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            other => io::Error::other(other),
        })
    }
}

impl<R> std::fmt::Debug for Members<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members").finish_non_exhaustive()
    }
}
