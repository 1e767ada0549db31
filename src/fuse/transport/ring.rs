//! Requests by io_uring, answered by threads that are each bound to one CPU.
//!
//! The kernel has a queue for each possible CPU, and uses rings once each queue has an entry. It gives a request to the
//! entry of the queue that became free last, and an entry belongs to the thread that waits for it. At the beginning
//! *one* thread, the dispatcher, waits for all entries of all queues. A request comes to one of these entries only when
//! no other entry of that CPU is free. The dispatcher then starts a thread for that CPU, which answers the request and
//! keeps the entry. From then on the dispatcher gets requests of that CPU only while all its threads are busy. So
//! threads exist only for CPUs on which programs make requests, and more of them where requests took long: at most one
//! for each entry. An entry cannot be taken back from the kernel, so such a thread stays until the mount ends; a thread
//! that is not needed is never woken.

use std::sync::mpsc::{self, Sender};
use std::thread::{self, Scope};

use parking_lot::Mutex;
use zerocopy::IntoBytes;

use crate::fuse::ops::server::Server;
use crate::fuse::wire::abi::{MAX_WRITE, OutHeader, READ_BUFFER_LEAST};
use crate::fuse::wire::answer::Answer;
use crate::fuse::wire::request::Request;
use crate::sys::{Errno, FuseRing, Result, RingEntry, RingMessage, possible_cpus, stay_on};

use super::pool::{Bounds, Pool};

/// The most entries of one queue.
const EACH_MOST: usize = 16;
/// About so many entries are in all queues together, but at least two in each.
const ALL: usize = 256;

/// Requests that no program waits for still come by the device.
const DEVICE: Bounds = Bounds { least: 1, most: 1 };

/// Answers requests until the mount is gone. There are at most `each` threads for one CPU. If the kernel gives no rings
/// after all, all requests come by the device, and `without` bounds the threads that read it. `give_up` must end the
/// mount.
///
/// # Errors
/// The error of the first thread that failed.
pub(in crate::fuse) fn run(
    server: &Server,
    each: Option<usize>,
    without: Bounds,
    give_up: &(dyn Fn() + Sync),
) -> Result<()> {
    let cpus = possible_cpus()?;
    let each = each.unwrap_or((ALL / usize::from(cpus)).clamp(2, EACH_MOST)).max(1);
    let rings = Rings { server, failed: Mutex::default(), give_up };
    let by_device = thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let dispatch = || rings.dispatch(scope, cpus, each, tell);
        if let Err(error) = rings.spawn(scope, dispatch) {
            rings.fail(error);
        }
        let device = if told.recv() == Ok(Live(true)) { DEVICE } else { without };
        Pool::run(server, device, give_up).inspect_err(|_| give_up())
    });
    rings.failed.into_inner().map_or(by_device, Err)
}

/// Whether requests come by rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Live(bool);

/// The threads of one mount that wait at rings.
struct Rings<'a> {
    server: &'a Server,
    failed: Mutex<Option<Errno>>,
    give_up: &'a (dyn Fn() + Sync),
}

impl Rings<'_> {
    /// Starts a thread that does `work`. If the work fails, the mount ends.
    fn spawn<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        work: impl FnOnce() -> Result<()> + Send + 'scope,
    ) -> Result<()> {
        let counted = self.server.counters.thread();
        let work = move || {
            let _counted = counted;
            if let Err(error) = work() {
                self.fail(error);
            }
        };
        let spawned = thread::Builder::new().spawn_scoped(scope, work);
        spawned.map(drop).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))
    }

    fn fail(&self, error: Errno) {
        self.failed.lock().get_or_insert(error);
        (self.give_up)();
    }

    /// Waits for all entries that have no thread yet, and starts a thread for each one that gets a request.
    fn dispatch<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        cpus: u16,
        each: usize,
        tell: Sender<Live>,
    ) -> Result<()> {
        let entries = usize::from(cpus) * each;
        let mut ring = FuseRing::new(&self.server.device, u32::try_from(entries).map_err(|_| Errno::INVAL)?)?;
        let all = (0..entries).map(|index| (index % usize::from(cpus)) as u16);
        let live = ring.register(all.map(|cpu| RingEntry::new(cpu, MAX_WRITE as usize)))?;
        // An error means that the receiver has given up already.
        let _ = tell.send(Live(live));
        if !live {
            return Ok(());
        }
        let mut small = vec![0; READ_BUFFER_LEAST];
        while let Some(entry) = ring.wait()? {
            let (hand, handed) = mpsc::channel();
            match self.spawn(scope, move || handed.recv().map_or(Ok(()), |entry| self.serve(entry))) {
                Ok(()) => drop(hand.send(entry)),
                Err(error) => {
                    tracing::warn!(%error, "cannot start another thread: slow requests delay others");
                    self.answer(entry, &mut ring, &mut small)?;
                }
            }
        }
        Ok(())
    }

    /// Answers the request in `entry`, and all later ones that come to it.
    fn serve(&self, entry: RingEntry) -> Result<()> {
        stay_on(entry.cpu());
        let mut ring = FuseRing::new(&self.server.device, 1)?;
        let mut small = vec![0; READ_BUFFER_LEAST];
        let mut next = Some(entry);
        while let Some(entry) = next {
            self.answer(entry, &mut ring, &mut small)?;
            next = ring.wait()?;
        }
        Ok(())
    }

    fn answer(&self, mut entry: RingEntry, ring: &mut FuseRing, small: &mut [u8]) -> Result<()> {
        let (header, len) = answer(self.server, entry.message(), small)?;
        ring.answer(entry, header.as_bytes(), len)
    }
}

/// Serves a request. Returns the header of the answer and its length in the payload. Request and answer use the same
/// payload buffer, so the shorter of the two is kept in `small` meanwhile.
fn answer(server: &Server, message: RingMessage<'_>, small: &mut [u8]) -> Result<(OutHeader, usize)> {
    let RingMessage { header, first_argument, payload, len } = message;
    if len <= small.len() {
        small[..len].copy_from_slice(&payload[..len]);
        let request = Request::of(header, first_argument, &small[..len])?;
        let mut answer = Answer::new(payload, server.ids());
        let outcome = server.serve(request, &mut answer);
        Ok(outcome.header(answer.len(), request.header.unique))
    } else {
        let request = Request::of(header, first_argument, &payload[..len])?;
        let mut answer = Answer::new(small, server.ids());
        let outcome = server.serve(request, &mut answer);
        let (header, len) = outcome.header(answer.len(), request.header.unique);
        payload[..len].copy_from_slice(&small[..len]);
        Ok((header, len))
    }
}
