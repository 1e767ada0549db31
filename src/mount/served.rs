//! A mount that a thread serves while the rest of the process does something else.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use super::Error;
use crate::fuse::{self, Direct, Session};
use crate::sys::process;

/// A live mount; dropping it unmounts.
#[derive(Debug)]
pub struct Served {
    at: PathBuf,
    direct: Direct,
    server: Option<JoinHandle<io::Result<()>>>,
}

impl Served {
    pub(super) fn start(session: Session) -> Result<Served, Error> {
        // Each request brings its own umask: that of this process must not change modes as well.
        process::set_umask(0);
        let at = session.at().to_path_buf();
        let direct = session.direct();
        let serve = move || session.serve();
        let server = thread::Builder::new().name("fuse".into()).spawn(serve).map_err(Error::Serve)?;
        Ok(Served { at, direct, server: Some(server) })
    }

    /// A way to change the mount without the kernel.
    pub fn direct(&self) -> &Direct {
        &self.direct
    }

    /// Unmounts. If no other process uses the mount, all data written to it has reached the upper layer on return.
    ///
    /// # Errors
    /// [`Error::Serve`] when serving failed before the unmount.
    pub fn end(mut self) -> Result<(), Error> {
        let Some(server) = self.server.take() else { return Ok(()) };
        unmount(&self.at);
        server.join().unwrap_or_else(|_| Err(io::Error::other("the server panicked"))).map_err(Error::Serve)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.server.is_some() {
            unmount(&self.at);
        }
    }
}

/// Unmounts at once, or, if the mount is in use, lazily.
fn unmount(at: &Path) {
    let result = fuse::unmount(at, false).or_else(|_| fuse::unmount(at, true));
    if let Err(errno) = result {
        tracing::warn!(at = %at.display(), %errno, "cannot unmount");
    }
}
