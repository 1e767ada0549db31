//! A mount that the user sees, and this process serves until somebody unmounts it.

use std::os::fd::AsFd;
use std::thread;

use super::Error;
use super::plan::Locks;
use super::unmount::Unmounter;
use crate::fuse::Session;
use crate::sys::poll::{self, Interest};
use crate::sys::process;
use crate::sys::signal::{self, Messages};

/// A live mount; a signal that asks this process to end unmounts it.
#[derive(Debug)]
pub(super) struct Live {
    session: Session,
    _locks: Locks,
}

impl Live {
    /// # Errors
    /// Where signals cannot be received; the mount is then gone.
    pub(super) fn new(session: Session, unmounter: Unmounter, locks: Locks) -> Result<Live, Error> {
        // What users create gets the mode that they ask for, less their own mask.
        process::set_umask(0);
        let signals = match Messages::receive() {
            Ok(signals) => signals,
            Err(errno) => {
                unmounter.unmount_or_warn();
                return Err(Error::Signals(errno));
            }
        };
        // It ends with the process: the session ends when the mount does.
        thread::spawn(move || {
            while poll::wait(&[(signals.as_fd(), Interest::Read)]).is_ok() {
                if let Ok(Some(signal @ (signal::HANGUP | signal::INTERRUPT | signal::TERMINATE))) = signals.next() {
                    tracing::debug!(signal, "asked to end");
                    unmounter.unmount_or_warn();
                }
            }
        });
        Ok(Live { session, _locks: locks })
    }

    /// Answers requests until somebody unmounts.
    ///
    /// # Errors
    /// When a thread that serves fails; the mount is then gone.
    pub(super) fn serve(self) -> Result<(), Error> {
        self.session.serve().map_err(Error::Serve)
    }
}
