//! A mount in the user's mount namespace that this process serves until it is unmounted.

use std::os::fd::AsFd;
use std::thread;

use super::Error;
use super::plan::Locks;
use super::unmount::Unmounter;
use crate::fuse::Session;
use crate::sys::poll::{self, Interest};
use crate::sys::process;
use crate::sys::signal::{self, Messages};

/// A live mount. SIGHUP, SIGINT and SIGTERM unmount it.
#[derive(Debug)]
pub(super) struct Live {
    session: Session,
    _locks: Locks,
}

impl Live {
    /// Starts to receive the signals that unmount.
    ///
    /// # Errors
    /// Signals cannot be received. The mount is then gone.
    pub(super) fn new(session: Session, unmounter: Unmounter, locks: Locks) -> Result<Live, Error> {
        // Each request brings its own umask: that of this process must not change modes as well.
        process::set_umask(0);
        let signals = match Messages::receive() {
            Ok(signals) => signals,
            Err(errno) => {
                unmounter.unmount_or_warn();
                return Err(Error::Signals(errno));
            }
        };
        // Nobody joins this thread: it ends with the process, when the mount ends.
        thread::spawn(move || {
            while poll::wait(&[(signals.as_fd(), Interest::Read)]).is_ok() {
                if let Ok(Some(signal @ (signal::HANGUP | signal::INTERRUPT | signal::TERMINATE))) = signals.next() {
                    tracing::debug!(signal, "unmounting because of a signal");
                    unmounter.unmount_or_warn();
                }
            }
        });
        Ok(Live { session, _locks: locks })
    }

    /// Answers requests until the mount is unmounted.
    ///
    /// # Errors
    /// A serving thread failed. The mount is then gone.
    pub(super) fn serve(self) -> Result<(), Error> {
        self.session.serve().map_err(Error::Serve)
    }
}
