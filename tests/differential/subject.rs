//! The interface of all subjects: do an operation, and show the entry at a path.

use std::collections::BTreeMap;
use std::fmt;

use overfuse::sys::{Errno, Kind};

use crate::operations::{Answer, Operation};
use crate::support::tree::word;

/// A tree under test.
pub trait Subject {
    /// Does one operation, by the system calls that it stands for.
    fn apply(&mut self, operation: &Operation) -> Answer;

    /// The attributes and content of the entry at a path; a symbolic link at its end is not followed.
    fn entry(&mut self, path: &str) -> Result<Entry, Errno>;

    /// The names in a directory, sorted.
    fn list(&mut self, path: &str) -> Result<Vec<Listed>, Errno>;

    /// Closes all open files and ends the subject.
    fn stop(self: Box<Self>) -> Result<(), String>;

    /// Does an operation, which may be [`Operation::RemoveTree`].
    fn perform(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::RemoveTree { path } => self.remove_tree(path),
            other => self.apply(other),
        }
    }

    /// Removes a tree in the same way as `rm -r`.
    fn remove_tree(&mut self, path: &str) -> Answer {
        match self.list(path) {
            Ok(entries) => {
                for entry in entries {
                    self.remove_tree(&format!("{path}/{}", entry.name))?;
                }
                self.apply(&Operation::Rmdir { path: path.into() })
            }
            Err(_) => self.apply(&Operation::Unlink { path: path.into() }),
        }
    }
}

/// A time in a form that is the same in each run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    At(i64, i64),
    /// After the sequence began.
    New,
    /// Not compared: it depends on the file system of the layers.
    Any,
}

/// What `lstat` shows. The links and the size of directories are not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attr {
    pub kind: Kind,
    pub perm: u32,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    pub size: u64,
    pub mtime: Time,
    pub ino: u64,
}

/// Attributes and content of an entry.
#[derive(Clone, Debug)]
pub struct Entry {
    pub attr: Attr,
    /// The content of a file, or the target of a symbolic link.
    pub content: Vec<u8>,
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    pub name: String,
    pub kind: &'static str,
    pub ino: u64,
}

pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Regular => "file",
        Kind::Directory => "dir",
        Kind::Symlink => "link",
        Kind::CharDevice => "char",
        Kind::BlockDevice => "block",
        Kind::Fifo => "fifo",
        Kind::Socket => "socket",
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Time::At(seconds, nanoseconds) => write!(f, "{seconds}.{nanoseconds:09}"),
            Time::New => f.write_str("new"),
            Time::Any => f.write_str("any"),
        }
    }
}

impl fmt::Display for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:o} {}:{}", kind_name(self.kind), self.perm, self.uid, self.gid)?;
        if self.kind == Kind::Directory { Ok(()) } else { write!(f, " links={} size={}", self.links, self.size) }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mtime={}", self.attr, self.attr.mtime)?;
        if matches!(self.attr.kind, Kind::Regular | Kind::Symlink) {
            write!(f, " {}", runs(&self.content))?;
        }
        self.xattrs.iter().try_for_each(|(key, value)| write!(f, " +{key}={}", word(value)))
    }
}

/// Content in short form: as runs of equal bytes, if there are few runs.
pub fn runs(content: &[u8]) -> String {
    let chunks: Vec<&[u8]> = content.chunk_by(|a, b| a == b).collect();
    if chunks.len() > 12 {
        return word(content);
    }
    let run = |chunk: &&[u8]| {
        let byte = chunk[0].escape_ascii();
        if chunk.len() == 1 { format!("{byte}") } else { format!("{}*{byte}", chunk.len()) }
    };
    format!("[{}]", chunks.iter().map(run).collect::<Vec<_>>().join(" "))
}

impl Entry {
    /// Whether `seen` equals this entry of the model. With `or_later`, a file may have been modified since.
    pub fn is_shown_by(&self, seen: &Entry, or_later: bool) -> bool {
        let (a, b) = (&self.attr, &seen.attr);
        let dir = a.kind == Kind::Directory;
        let later = or_later && a.kind == Kind::Regular && b.mtime == Time::New;
        a.kind == b.kind
            && (a.perm, a.uid, a.gid) == (b.perm, b.uid, b.gid)
            && (dir || (a.links, a.size) == (b.links, b.size))
            && (a.mtime == b.mtime || a.mtime == Time::Any || later)
            && self.content == seen.content
            && self.xattrs == seen.xattrs
    }
}
