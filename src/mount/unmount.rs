//! Unmounts by system call or, without the privilege for it, by the set-id program fusermount3.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::daemon::detach;
use super::error::one_line;
use crate::fuse;
use crate::sys::process::{self, Inherited};
use crate::sys::signal::Messages;
use crate::sys::{Channel, Errno, Namespaces};

/// Why unmounting failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum UnmountError {
    #[error("nothing is mounted at {at}")]
    NotMounted { at: PathBuf },
    #[error("unmounting {at}")]
    Kernel { at: PathBuf, source: Errno },
    #[error("unmounting {at} needs fusermount3 (Debian: apt install fuse3)")]
    NoHelper { at: PathBuf, source: io::Error },
    #[error("unmounting {at}: {message}")]
    Helper { at: PathBuf, message: String },
    /// The process that unmounts could not be started, or communication with it failed.
    #[error("cannot {doing} the process that unmounts")]
    Process { doing: &'static str, source: Errno },
    /// The error that this process reported.
    #[error("{0}")]
    Outside(String),
    #[error("the process that unmounts is gone")]
    Gone,
}

impl UnmountError {
    /// Whether the mount may be in use, so that a later try can succeed. True for each error of fusermount3, which does
    /// not report the reason.
    pub fn may_be_busy(&self) -> bool {
        matches!(self, UnmountError::Kernel { source: Errno::BUSY, .. } | UnmountError::Helper { .. })
    }
}

/// Unmounts what is mounted at `at`; with `lazily`, even while it is in use.
///
/// # Errors
/// Nothing is mounted there, or the kernel or fusermount3 refused.
pub fn unmount(at: &Path, lazily: bool) -> Result<(), UnmountError> {
    match fuse::unmount(at, lazily) {
        Ok(()) => return Ok(()),
        Err(Errno::PERM) => {}
        Err(Errno::INVAL) => return Err(UnmountError::NotMounted { at: at.into() }),
        Err(source) => return Err(UnmountError::Kernel { at: at.into(), source }),
    }
    let output = Command::new("fusermount3").arg(if lazily { "-uz" } else { "-u" }).arg("--").arg(at).output();
    let output = output.map_err(|source| UnmountError::NoHelper { at: at.into(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let message = message.trim().trim_start_matches("fusermount3: ").to_owned();
    Err(UnmountError::Helper { at: at.into(), message })
}

/// Unmounts the mount that a process serves, when a signal tells the process to end.
#[derive(Debug)]
pub(super) enum Unmounter {
    /// This process unmounts.
    Here(PathBuf),
    /// Another process, which stays outside the user namespace, unmounts: inside, that is not allowed. It also unmounts
    /// when this end of the channel is closed and the mount is dead (`ENOTCONN`).
    Outside(Channel),
}

impl Unmounter {
    /// Starts the process outside, which closes `inherited`. To be called before a user namespace is entered.
    pub(super) fn outside(at: PathBuf, inherited: Option<&Inherited>) -> Result<Unmounter, UnmountError> {
        let work = |channel: Channel| {
            // Closes our output, so that a reader of it need not wait for the end of the mount. Ignores signals, which
            // a terminal sends to the whole group: the serving process handles them and sends a request here.
            let (Ok(()), Ok(_signals)) = (detach(), Messages::receive()) else { return 1 };
            inherited.cloned().into_iter().for_each(Inherited::close);
            while let Ok(Some(_)) = channel.receive() {
                let said = unmount(&at, true).err().map_or_else(|| "done".to_owned(), |error| one_line(&error));
                if channel.send(said.as_bytes(), None).is_err() {
                    break;
                }
            }
            let dead =
                fs::metadata(&at).is_err_and(|error| error.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()));
            i32::from(dead && unmount(&at, true).is_err())
        };
        let spawned = process::spawn_connected(Namespaces::empty(), work);
        let (_, channel) = spawned.map_err(|source| UnmountError::Process { doing: "start", source })?;
        Ok(Unmounter::Outside(channel))
    }

    /// Unmounts, even while the mount is in use.
    fn unmount(&self) -> Result<(), UnmountError> {
        let failed = |doing| move |source| UnmountError::Process { doing, source };
        match self {
            Unmounter::Here(at) => unmount(at, true),
            Unmounter::Outside(channel) => {
                channel.send(b"unmount", None).map_err(failed("send to"))?;
                match channel.receive().map_err(failed("receive from"))? {
                    Some((said, _)) if said == b"done" => Ok(()),
                    Some((said, _)) => Err(UnmountError::Outside(String::from_utf8_lossy(&said).into_owned())),
                    None => Err(UnmountError::Gone),
                }
            }
        }
    }

    /// Unmounts and logs an error. For callers that cannot return it, or that return a more important one.
    pub(super) fn unmount_or_warn(&self) {
        if let Err(error) = self.unmount() {
            tracing::warn!(error = %one_line(&error), "unmounting");
        }
    }
}
