//! Errors of reading and writing an archive and its tree.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use crate::sys::Errno;

/// Why a layer or files could not be unpacked, packed or compared.
///
/// Paths are as in the archive. Messages quote them, because they may contain any bytes.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum Error {
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    #[error("the archive ends in the middle of {what}")]
    Truncated { what: &'static str },
    #[error("not a tar archive: the header at byte {at} is not one")]
    NotTar { at: u64 },
    #[error("the archive describes an entry that does not follow")]
    DanglingExtension,
    #[error("an extended header of {size} bytes: more than {limit} are never needed")]
    ExtensionTooLarge { size: u64, limit: u64 },
    #[error("malformed extended header of the entry at byte {at}")]
    MalformedExtension { at: u64 },
    #[error("{path:?}: {field} is {found}, which is out of range")]
    Number { path: PathBuf, field: &'static str, found: String },
    #[error("{path:?}: malformed sparse map: {why}")]
    Sparse { path: PathBuf, why: &'static str },
    #[error("{path:?}: unknown entry type {kind:?}")]
    UnknownKind { path: PathBuf, kind: char },

    #[error("{path:?}: the name leaves the layer")]
    Escape { path: PathBuf },
    #[error("{path:?}: not a name that a file can have")]
    Name { path: PathBuf },
    #[error("{path:?}: not a name that a whiteout can have")]
    Whiteout { path: PathBuf },
    #[error("{path:?}: the root of a layer must be a directory")]
    Root { path: PathBuf },
    #[error("{path:?}: {parent:?} is not a directory")]
    Parent { path: PathBuf, parent: PathBuf },
    #[error("{path:?}: too many symbolic links on the way")]
    TooManyLinks { path: PathBuf },
    #[error("{path:?}: hard link to {target:?}, which leaves the layer")]
    HardLinkEscape { path: PathBuf, target: PathBuf },
    #[error("{path:?}: hard link to {target:?}, which this layer does not hold")]
    HardLinkTarget { path: PathBuf, target: PathBuf },
    #[error(
        "{path:?}: owner {uid}:{gid} has no counterpart in this user namespace; \
         give the user more subordinate ids in /etc/subuid and /etc/subgid"
    )]
    Owner { path: PathBuf, uid: u32, gid: u32 },
    #[error("{path:?}: a directory cannot replace a file")]
    OverFile {
        /// Of the entry.
        path: PathBuf,
    },
    #[error("{path:?}: a file cannot replace a directory")]
    OverDirectory {
        /// Of the entry.
        path: PathBuf,
    },
    #[error("{path:?}: a name that begins with .wh. means a deletion in an image layer, and cannot be kept there")]
    Reserved { path: PathBuf },
    #[error("{path:?}: a character device 0/0 means a deletion in an image layer, and cannot be kept there")]
    WhiteoutDevice { path: PathBuf },
    #[error("{path:?}: {found} bytes could be read of {expected}: it changed meanwhile")]
    Shrunk { path: PathBuf, expected: u64, found: u64 },
    #[error("{path:?}: cannot set {key:?}")]
    Xattr {
        path: PathBuf,
        key: OsString,
        #[source]
        source: Errno,
    },
    #[error("{path:?}: cannot {action}")]
    Tree {
        path: PathBuf,
        action: &'static str,
        #[source]
        source: Errno,
    },
}
