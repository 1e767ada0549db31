//! What a mount was asked, and what the answers cost.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sys::xattr::{self, Of};
use crate::sys::{Calls, Dir, Errno, Tally};

/// The attribute of a mount's root by which it answers its [`Stats`]. No file has it; it is in no list.
pub(super) const KEY: &str = "overfuse.stats";

/// Counts since the mount was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The kernel's requests, by the names that its FUSE protocol gives them. Of FORGET the files are counted,
    /// of which it tells many at once.
    pub requests: BTreeMap<String, u64>,
    /// System calls on layers and the upper directory that answering took. Not among them are those that read
    /// requests and write answers, and `close`.
    pub syscalls: BTreeMap<String, u64>,
}

/// Why there are no counts.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    #[error("not the root of an Overfuse mount")]
    NotAMount,
    #[error("unknown answer: another version of Overfuse serves this mount")]
    Unknown,
    #[error(transparent)]
    Kernel(#[from] Errno),
}

/// The counts of the mount at `at`.
///
/// # Errors
/// When no mount of ours is there.
pub fn stats(at: &Path) -> Result<Stats, StatsError> {
    let dir = Dir::open_host(at)?;
    let answer = xattr::get(Of::Dir(&dir), KEY.as_ref())?.ok_or(StatsError::NotAMount)?;
    serde_json::from_slice(&answer).map_err(|_| StatsError::Unknown)
}

macro_rules! requests {
    ($($request:ident $name:literal,)*) => {
        /// What the kernel may ask.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum Asked { $($request),* }
        const NAMES: [&str; [$($name),*].len()] = [$($name),*];
    };
}

requests! {
    Access "ACCESS",
    CopyFileRange "COPY_FILE_RANGE",
    Create "CREATE",
    Fallocate "FALLOCATE",
    Flush "FLUSH",
    Forget "FORGET",
    Fsync "FSYNC",
    Fsyncdir "FSYNCDIR",
    Getattr "GETATTR",
    Getxattr "GETXATTR",
    Ioctl "IOCTL",
    Link "LINK",
    Listxattr "LISTXATTR",
    Lookup "LOOKUP",
    Lseek "LSEEK",
    Mkdir "MKDIR",
    Mknod "MKNOD",
    Open "OPEN",
    Opendir "OPENDIR",
    Poll "POLL",
    Read "READ",
    Readdir "READDIR",
    Readdirplus "READDIRPLUS",
    Readlink "READLINK",
    Release "RELEASE",
    Removexattr "REMOVEXATTR",
    Rename "RENAME2",
    Rmdir "RMDIR",
    Setattr "SETATTR",
    Setxattr "SETXATTR",
    Statfs "STATFS",
    Symlink "SYMLINK",
    Unlink "UNLINK",
    Write "WRITE",
}

impl Asked {
    /// As the FUSE protocol has it.
    pub(super) fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// The counts of one mount, while it is served.
#[derive(Debug, Default)]
pub(super) struct Counters {
    requests: Tally<{ NAMES.len() }>,
    calls: Arc<Calls>,
}

impl Counters {
    /// Counts a request that this thread begins to answer, and what it does for that.
    pub(super) fn begin(&self, asked: Asked) {
        self.requests.add(asked as usize);
        self.calls.bind();
    }

    pub(super) fn stats(&self) -> Stats {
        Stats { requests: self.requests.by_name(&NAMES), syscalls: self.calls.by_name() }
    }
}
