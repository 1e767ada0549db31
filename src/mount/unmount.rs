//! Unmounting: by system call or, where only the set-id program fusermount3 may, by that.

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

/// Why something is still mounted.
#[derive(Debug, thiserror::Error)]
pub enum UnmountError {
    #[error("nothing is mounted at {at}")]
    NotMounted { at: PathBuf },
    #[error("unmounting {at}")]
    Kernel { at: PathBuf, source: Errno },
    #[error("unmounting {at} needs fusermount3 (Debian: apt install fuse3)")]
    NoHelper { at: PathBuf, source: io::Error },
    #[error("unmounting {at}: {message}")]
    Helper { at: PathBuf, message: String },
    /// The process that unmounts could not be made, asked or heard.
    #[error("cannot {doing} the process that unmounts")]
    Process { doing: &'static str, source: Errno },
    /// What that process said.
    #[error("{0}")]
    Outside(String),
    #[error("the process that unmounts is gone")]
    Gone,
}

impl UnmountError {
    /// Whether the mount may be in use, so that a later try can do better. fusermount3 does not tell.
    pub fn may_be_busy(&self) -> bool {
        matches!(self, UnmountError::Kernel { source: Errno::BUSY, .. } | UnmountError::Helper { .. })
    }
}

/// Unmounts what is mounted at `at`; `lazily` also while it is in use.
///
/// # Errors
/// What the kernel or fusermount3 refused.
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

/// Ends the mount that a process serves, when the process is told to end.
#[derive(Debug)]
pub(super) enum Unmounter {
    Here(PathBuf),
    /// A process that stays where the mount was made, since from inside a user namespace it cannot be unmade.
    /// When this end of the channel closes on a mount that is still there, it unmounts too.
    Outside(Channel),
}

impl Unmounter {
    /// Starts the process outside, which keeps none of `inherited` open. To be called before a user namespace is
    /// entered.
    pub(super) fn outside(at: PathBuf, inherited: Option<&Inherited>) -> Result<Unmounter, UnmountError> {
        let work = |channel: Channel| {
            // Who waits for the end of our output does not wait for the end of the mount.
            // And a signal to all of us is for the process that serves, which then asks.
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

    /// Unmounts, also while the mount is in use.
    fn unmount(&self) -> Result<(), UnmountError> {
        let failed = |doing| move |source| UnmountError::Process { doing, source };
        match self {
            Unmounter::Here(at) => unmount(at, true),
            Unmounter::Outside(channel) => {
                channel.send(b"unmount", None).map_err(failed("ask"))?;
                match channel.receive().map_err(failed("hear from"))? {
                    Some((said, _)) if said == b"done" => Ok(()),
                    Some((said, _)) => Err(UnmountError::Outside(String::from_utf8_lossy(&said).into_owned())),
                    None => Err(UnmountError::Gone),
                }
            }
        }
    }

    /// For who has no one to return the error to, or a graver one to return.
    pub(super) fn unmount_or_warn(&self) {
        if let Err(error) = self.unmount() {
            tracing::warn!(error = %one_line(&error), "unmounting");
        }
    }
}
