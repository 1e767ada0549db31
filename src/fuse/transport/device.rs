//! One thread that reads requests from the device and writes the answers.

use zerocopy::IntoBytes;

use crate::fuse::ops::server::{Outcome, Server};
use crate::fuse::wire::abi::{self, MAX_WRITE, OutHeader};
use crate::fuse::wire::answer::Answer;
use crate::fuse::wire::request::Request;
use crate::sys::{Errno, FuseDevice, Result};

const HEADER: usize = size_of::<OutHeader>();
/// The data of a WRITE or a READ, and its header and arguments before it.
const BUFFER: usize = MAX_WRITE as usize + abi::READ_BUFFER_LEAST;

/// One thread's side of a connection.
#[derive(Debug)]
pub(in crate::fuse) struct Worker<'a> {
    device: &'a FuseDevice,
    // The kernel allocates these pages at first use, so a thread uses only the memory of its largest message.
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl<'a> Worker<'a> {
    pub(in crate::fuse) fn new(device: &'a FuseDevice) -> Worker<'a> {
        Worker { device, request: vec![0; BUFFER], answer: vec![0; BUFFER] }
    }

    /// Answers requests until the mount is gone, or `end` returns that this thread is no longer needed. `begin` is
    /// called after a request was read, and `end` after it was answered.
    ///
    /// # Errors
    /// As `read(2)` of the device; `EIO` for a message that is no request.
    pub(super) fn run(mut self, server: &Server, begin: impl Fn(), end: impl Fn() -> bool) -> Result<Ended> {
        while let Some(request) = next(self.device, &mut self.request)? {
            begin();
            let (header, room) = self.answer.split_at_mut(HEADER);
            let mut answer = Answer::new(room, server.ids());
            let outcome = server.serve(request, &mut answer);
            if outcome != Outcome::Silent {
                let (wanted, len) = outcome.header(answer.len(), request.header.unique);
                header.copy_from_slice(wanted.as_bytes());
                if let Err(error) = self.device.send(&self.answer[..HEADER + len]) {
                    // No program waits for it: the mount is ending, or the sender was killed.
                    tracing::debug!(%error, "an answer was not taken");
                }
            }
            if !end() {
                return Ok(Ended::Surplus);
            }
        }
        Ok(Ended::Unmounted)
    }
}

/// Why a thread stopped reading requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Unmounted,
    Surplus,
}

/// The next request; `None` when the mount is gone.
pub(in crate::fuse) fn next<'b>(device: &FuseDevice, buffer: &'b mut [u8]) -> Result<Option<Request<'b>>> {
    let len = loop {
        match device.receive(buffer) {
            Ok(len) => break len,
            // The request was withdrawn before it could be read.
            Err(Errno::NOENT | Errno::AGAIN) => {}
            // ECONNABORTED: the mount ended while a request was being read. Only a RELEASE can still come then, and no
            // program waits for that.
            Err(Errno::NODEV | Errno::CONNABORTED) => return Ok(None),
            Err(error) => return Err(error),
        }
    };
    Request::parse(&buffer[..len]).map(Some).ok_or(Errno::IO)
}
