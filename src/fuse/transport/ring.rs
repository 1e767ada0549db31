//! Requests by io_uring, answered by threads that stay each on one CPU.
//!
//! The kernel has a queue for each possible CPU, and takes requests by rings once each queue has an entry. It gives a request
//! to that entry of the queue which was free last, and an entry belongs to the thread that waits for it. So at the
//! beginning *one* thread, the dispatcher, waits for all entries of all queues. When a request comes to one of these, no
//! other entry of that CPU is free: it starts a thread there, which answers the request and keeps the entry. From then
//! on the dispatcher hears of that CPU only while all its threads are busy. So there are threads for CPUs on which programs
//! run, and further ones where requests took long: at most one for each entry. The kernel lets nobody take an entry away
//! again, so such a thread stays; those that are not needed are never woken.

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
/// In all queues there are about so many entries, and two in each at least.
const ALL: usize = 256;

/// What nobody waits for still comes by the device.
const DEVICE: Bounds = Bounds { least: 1, most: 1 };

/// Answers requests until the mount is gone. There are at most `each` threads for one CPU. Where the kernel turns out to
/// give no rings, all requests come by the device, and `without` says how many threads read it. `give_up` must end the
/// mount.
///
/// # Errors
/// What the first thread that failed met.
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
    /// Starts a thread; when what it does fails, all end.
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

    /// Waits for all entries that no thread has yet, and starts a thread for each that gets a request.
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
        // Who waits for this gave up when it is not heard.
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
                    tracing::warn!(%error, "no further thread can be started: slow requests hold up others");
                    self.answer(entry, &mut ring, &mut small)?;
                }
            }
        }
        Ok(())
    }

    /// Answers the request in `entry`, and those that come to it afterwards.
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
