//! Requests by io_uring, answered by threads that stay each on one CPU.
//!
//! The kernel takes a thread for free as soon as it waits for a request, and gives it one at a time: so a request that
//! takes long holds up others of its CPU only when all threads of that CPU are busy.

use zerocopy::IntoBytes;

use crate::fuse::ops::server::Server;
use crate::fuse::wire::abi::MAX_WRITE;
use crate::fuse::wire::abi::{OutHeader, READ_BUFFER_LEAST};
use crate::fuse::wire::answer::Answer;
use crate::fuse::wire::request::Request;
use crate::sys::{Errno, FuseDevice, FuseRing, Result, RingMessage, stay_on};

use super::device::Worker;

/// Answers the requests of programs on one CPU until the mount is gone.
///
/// # Errors
/// When there can be no ring; as `io_uring_enter(2)`; `EIO` when what comes is no request.
pub(in crate::fuse) fn run(server: &Server, device: &FuseDevice, cpu: u16) -> Result<()> {
    stay_on(cpu);
    let mut ring = FuseRing::new(device, cpu, MAX_WRITE as usize)?;
    let mut small = vec![0; READ_BUFFER_LEAST];
    let mut more = match ring.first() {
        // The kernel thought better of it.
        Err(Errno::OPNOTSUPP) => return Worker::new(&device.another()?).run(server),
        more => more?,
    };
    while more {
        let (header, len) = answer(server, ring.message(), &mut small)?;
        more = ring.next(header.as_bytes(), len)?;
    }
    Ok(())
}

/// The header of an answer, and how much of the payload it is. Where the answer is to lie, lies the request; whichever
/// of the two is small is put elsewhere meanwhile.
fn answer(server: &Server, message: RingMessage<'_>, small: &mut [u8]) -> Result<(OutHeader, usize)> {
    let RingMessage { header, first_argument, payload, len } = message;
    if len <= small.len() {
        small[..len].copy_from_slice(&payload[..len]);
        let request = Request::of(header, first_argument, &small[..len])?;
        let mut answer = Answer::new(payload);
        let outcome = server.serve(request, &mut answer);
        Ok(outcome.header(answer.len(), request.header.unique))
    } else {
        let request = Request::of(header, first_argument, &payload[..len])?;
        let mut answer = Answer::new(small);
        let outcome = server.serve(request, &mut answer);
        let (header, len) = outcome.header(answer.len(), request.header.unique);
        payload[..len].copy_from_slice(&small[..len]);
        Ok((header, len))
    }
}
