//! The errors of mounting and serving.

use std::io;

use crate::fuse::{self, OptionError};
use crate::privilege;
use crate::store::StoreError;
use crate::sys::Errno;
use crate::union::OpenError;

use super::unmount::UnmountError;

/// Why mounting or serving failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum Error {
    #[error(transparent)]
    Options(#[from] OptionError),
    #[error("option {option} is only for lowerdir, not for an image")]
    NotForImages { option: &'static str },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{name} has changes of image {theirs}, not of {ours}; choose another name")]
    OtherImage { name: String, theirs: String, ours: String },
    #[error(transparent)]
    Privilege(#[from] privilege::Error),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Mount(#[from] fuse::MountError),
    #[error(transparent)]
    Unmount(#[from] UnmountError),
    #[error("cannot receive signals")]
    Signals(#[source] Errno),
    #[error("serving the mount")]
    Serve(#[source] io::Error),
    /// The background process could not be started, or communication with it failed.
    #[error("cannot {doing} the process that serves the mount")]
    Process { doing: &'static str, source: Errno },
    #[error("cannot close standard input and output")]
    Detach(#[source] io::Error),
    /// The error that the background process reported.
    #[error("{0}")]
    InBackground(String),
    #[error("the process that was to serve the mount ended with status {0}")]
    Ended(u8),
}

/// An error and its causes, as one line.
pub(crate) fn one_line(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_its_causes() {
        let at = "/m".into();
        let error = Error::Mount(fuse::MountError::At { at, source: Errno::NOENT });
        assert_eq!(one_line(&error), "mount point /m: No such file or directory (os error 2)");
        assert_eq!(one_line(&Error::Ended(1)), "the process that was to serve the mount ended with status 1");
    }
}
