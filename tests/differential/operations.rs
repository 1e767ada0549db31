//! Operations on a tree, as data, so that a failing sequence can be shrunk, printed and kept.
//!
//! A path starts at the root of the tree. A path as `@1/a` starts at the directory that is open in slot 1.

use overfuse::sys::Errno;
use rustix::fs::{FallocateFlags, OFlags};

/// How many files and directories can be kept open at once.
pub const SLOTS: usize = 2;

/// The first character of a path that starts at an open directory; the number of its slot follows.
pub const OPEN: char = '@';

#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Opens a file or directory and keeps it open in `slot`.
    Open {
        slot: usize,
        path: String,
        flags: OFlags,
        mode: u32,
    },
    /// Opens a file, writes `byte` `length` times, and closes it.
    Write {
        path: String,
        flags: OFlags,
        offset: u64,
        length: usize,
        byte: char,
    },
    Mkdir {
        path: String,
        mode: u32,
    },
    Symlink {
        target: &'static str,
        path: String,
    },
    Fifo {
        path: String,
        mode: u32,
    },
    Link {
        from: String,
        to: String,
    },
    Unlink {
        path: String,
    },
    Rmdir {
        path: String,
    },
    RemoveTree {
        path: String,
    },
    Rename {
        from: String,
        to: String,
        how: How,
    },
    Truncate {
        path: String,
        length: u64,
    },
    CopyRange {
        from: String,
        to: String,
    },
    Chmod {
        path: String,
        mode: u32,
    },
    Chown {
        path: String,
        owner: (u32, u32),
    },
    Utimes {
        path: String,
    },
    SetXattr {
        path: String,
        key: &'static str,
        value: &'static str,
        how: Wanted,
    },
    RemoveXattr {
        path: String,
        key: &'static str,
    },
    List {
        path: String,
    },
    Stat {
        path: String,
    },
    ReadLink {
        path: String,
    },
    ReadOpen {
        slot: usize,
    },
    WriteOpen {
        slot: usize,
        offset: u64,
        length: usize,
        byte: char,
    },
    TruncateOpen {
        slot: usize,
        length: u64,
    },
    AllocateOpen {
        slot: usize,
        how: Allocate,
        offset: u64,
        length: u64,
    },
    ChmodOpen {
        slot: usize,
        mode: u32,
    },
    StatOpen {
        slot: usize,
    },
    Close {
        slot: usize,
    },
    /// Closes all files, unmounts, and mounts again. With `swap`, Overfuse mounts the kernel's stack and the reverse.
    Remount {
        swap: bool,
    },
    /// As `Remount`, but the upper layer becomes the topmost lower one, and a new upper layer is empty.
    Commit,
    /// Compares the whole tree.
    Look,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Replace,
    NoReplace,
    Exchange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Any,
    Create,
    Replace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocate {
    /// Makes the file longer, if it is too short.
    Extend,
    KeepSize,
    PunchHole,
}

impl Allocate {
    pub fn flags(self) -> FallocateFlags {
        match self {
            Allocate::Extend => FallocateFlags::empty(),
            Allocate::KeepSize => FallocateFlags::KEEP_SIZE,
            Allocate::PunchHole => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        }
    }
}

/// The result of an operation: the text that it read (empty if it reads nothing), or its error.
pub type Answer = Result<String, Errno>;

/// The text of an answer for messages.
pub fn show(answer: &Answer) -> String {
    match answer {
        Ok(read) if read.is_empty() => "ok".into(),
        Ok(read) => read.clone(),
        Err(errno) => crate::support::at::errno_name(&std::io::Error::from(*errno)),
    }
}

impl Operation {
    pub fn paths(&self) -> Vec<&String> {
        use Operation::*;
        match self {
            Link { from, to } | Rename { from, to, .. } | CopyRange { from, to } => vec![from, to],
            Open { path, .. } | Write { path, .. } | Mkdir { path, .. } | Symlink { path, .. } => vec![path],
            Fifo { path, .. } | Unlink { path } | Rmdir { path } | RemoveTree { path } => vec![path],
            Truncate { path, .. } | Chmod { path, .. } | Chown { path, .. } | Utimes { path } => vec![path],
            SetXattr { path, .. } | RemoveXattr { path, .. } => vec![path],
            List { path } | Stat { path } | ReadLink { path } => vec![path],
            ReadOpen { .. } | WriteOpen { .. } | TruncateOpen { .. } | AllocateOpen { .. } => Vec::new(),
            ChmodOpen { .. } | StatOpen { .. } | Close { .. } | Remount { .. } | Commit | Look => Vec::new(),
        }
    }

    pub fn paths_mut(&mut self) -> Vec<&mut String> {
        use Operation::*;
        match self {
            Link { from, to } | Rename { from, to, .. } | CopyRange { from, to } => vec![from, to],
            Open { path, .. } | Write { path, .. } | Mkdir { path, .. } | Symlink { path, .. } => vec![path],
            Fifo { path, .. } | Unlink { path } | Rmdir { path } | RemoveTree { path } => vec![path],
            Truncate { path, .. } | Chmod { path, .. } | Chown { path, .. } | Utimes { path } => vec![path],
            SetXattr { path, .. } | RemoveXattr { path, .. } => vec![path],
            List { path } | Stat { path } | ReadLink { path } => vec![path],
            ReadOpen { .. } | WriteOpen { .. } | TruncateOpen { .. } | AllocateOpen { .. } => Vec::new(),
            ChmodOpen { .. } | StatOpen { .. } | Close { .. } | Remount { .. } | Commit | Look => Vec::new(),
        }
    }
}
