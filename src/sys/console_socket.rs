//! The socket on which an OCI runtime hands over the terminal that it has made for a container.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::{Channel, Errno, Result};

/// A listening socket. The runtime connects once, and sends the terminal's master end.
#[derive(Debug)]
pub struct ConsoleSocket(UnixListener);

impl ConsoleSocket {
    /// Listens at `path`, of at most 107 bytes.
    ///
    /// # Errors
    /// As `bind(2)`: `EADDRINUSE` when there is a file at `path`.
    pub fn bind(path: &Path) -> Result<ConsoleSocket> {
        let listen = || -> io::Result<UnixListener> {
            let listener = UnixListener::bind(path)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        listen().map(ConsoleSocket).map_err(errno)
    }

    /// The terminal's master end, once the runtime has made the container. Does not wait.
    ///
    /// # Errors
    /// `EAGAIN` when no runtime has connected; `EBADMSG` when it sent no descriptor.
    pub fn take(self) -> Result<OwnedFd> {
        let (stream, _) = self.0.accept().map_err(errno)?;
        stream.set_nonblocking(true).map_err(errno)?;
        let received = Channel::of(stream.into()).receive()?;
        received.and_then(|(_, terminal)| terminal).ok_or(Errno::BADMSG)
    }
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
