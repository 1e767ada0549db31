//! Pipes.

use std::os::fd::OwnedFd;

use rustix::pipe::PipeFlags;

use super::Result;

/// A new pipe.
#[derive(Debug)]
pub struct Pipe {
    /// The end to read from.
    pub read: OwnedFd,
    /// The end to write to.
    pub write: OwnedFd,
}

impl Pipe {
    /// # Errors
    /// As `pipe(2)`.
    pub fn new() -> Result<Pipe> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Pipe { read, write })
    }
}
