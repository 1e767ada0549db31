//! Requests of a FUSE mount by io_uring: the kernel puts a request of a program into a queue of the CPU on which the
//! program runs, and a thread that waits on that CPU need not be woken across CPUs.

use std::collections::VecDeque;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use io_uring::squeue::Entry128;
use io_uring::{IoUring, cqueue, opcode, types};
use rustix::io::retry_on_intr;
use rustix::thread::CpuSet;

use super::{Errno, FuseDevice, Result};

/// Whether mounts are to have requests by rings.
const ENABLED: &str = "/sys/module/fuse/parameters/enable_uring";

const REGISTER: u32 = 1;
const COMMIT_AND_FETCH: u32 = 2;

/// What the kernel fills in beside the payload.
#[repr(C)]
struct Header {
    /// A `struct fuse_in_header`, and on the way back a `struct fuse_out_header`.
    in_out: [u8; 128],
    /// The first argument.
    first: [u8; 128],
    flags: u64,
    commit_id: u64,
    payload_size: u32,
    padding: u32,
    reserved: u64,
}

/// A place in the queue of one CPU: room for a request, of which the answer takes the place.
///
/// The kernel knows it by its addresses, which stay as they are when this value moves. It is with the ring that waits for
/// its next request, or with whoever answers the request in it; it goes to the ring by which the answer is sent, which
/// need not be the one by which the request came.
pub struct RingEntry {
    cpu: u16,
    header: Box<Header>,
    payload: Vec<u8>,
}

impl std::fmt::Debug for RingEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RingEntry").field("cpu", &self.cpu).finish_non_exhaustive()
    }
}

/// A request as it lies in memory, and the room for its answer: one takes the place of the other.
#[derive(Debug)]
pub struct RingMessage<'a> {
    pub header: &'a [u8],
    pub first_argument: &'a [u8],
    pub payload: &'a mut [u8],
    /// How much of the payload the request is.
    pub len: usize,
}

impl RingEntry {
    /// Room for payloads of `size` bytes, for the requests of programs that run on `cpu`. Memory is taken when it is used.
    pub fn new(cpu: u16, size: usize) -> RingEntry {
        let header = Header {
            in_out: [0; 128],
            first: [0; 128],
            flags: 0,
            commit_id: 0,
            payload_size: 0,
            padding: 0,
            reserved: 0,
        };
        RingEntry { cpu, header: Box::new(header), payload: vec![0; size] }
    }

    /// In the queue of which CPU it is.
    pub fn cpu(&self) -> u16 {
        self.cpu
    }

    /// The request that is here.
    pub fn message(&mut self) -> RingMessage<'_> {
        let len = self.payload.len().min(self.header.payload_size as usize);
        let Header { in_out, first, .. } = &*self.header;
        RingMessage { header: in_out, first_argument: first, payload: &mut self.payload, len }
    }
}

/// Waits for requests, for the one thread that made it.
pub struct FuseRing {
    // Dropped before the memory that it names.
    ring: IoUring<Entry128, cqueue::Entry>,
    device: RawFd,
    under_way: Vec<Option<Command>>,
    /// What the kernel has answered: which command, and how it went.
    done: VecDeque<(usize, i32)>,
}

/// What the kernel was told, and did not answer yet.
struct Command {
    entry: RingEntry,
    command: u32,
    /// Read by the kernel when it takes the command.
    _places: Box<[libc::iovec; 2]>,
}

impl std::fmt::Debug for FuseRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FuseRing").field("entries", &self.under_way.len()).finish_non_exhaustive()
    }
}

impl FuseRing {
    /// A ring for so many entries at once. The device is to stay open as long as this.
    ///
    /// # Errors
    /// As `io_uring_setup(2)`: `EPERM` where that is switched off.
    pub fn new(device: &FuseDevice, entries: u32) -> Result<FuseRing> {
        Ok(FuseRing {
            ring: ring(entries)?,
            device: device.as_fd().as_raw_fd(),
            under_way: Vec::new(),
            done: VecDeque::new(),
        })
    }

    /// Has the kernel put requests into these entries from now on; `false` where it gives no rings to the mount, since
    /// they were switched off while that was made.
    ///
    /// # Errors
    /// As `io_uring_enter(2)`; `ENOBUFS` for more entries than the ring is for.
    pub fn register(&mut self, entries: impl Iterator<Item = RingEntry>) -> Result<bool> {
        for entry in entries {
            self.push(entry, REGISTER)?;
        }
        self.ring.submit().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        self.hear();
        let refused = -Errno::OPNOTSUPP.raw_os_error();
        Ok(self.done.iter().all(|(_, result)| *result != refused))
    }

    /// Sends the answer to the request in an entry, of which `len` bytes lie in the payload, with the next
    /// [`wait`](Self::wait). Then the entry waits for its next request here.
    ///
    /// # Errors
    /// As `io_uring_enter(2)`.
    pub fn answer(&mut self, mut entry: RingEntry, header: &[u8], len: usize) -> Result<()> {
        entry.header.in_out[..header.len()].copy_from_slice(header);
        entry.header.payload_size = len as u32;
        self.push(entry, COMMIT_AND_FETCH)
    }

    /// Waits for a request in one of the entries that are here; `None` when none is left: the mount is gone, or they are
    /// all elsewhere.
    ///
    /// # Errors
    /// As `io_uring_enter(2)`, and what the kernel says of an answer.
    pub fn wait(&mut self) -> Result<Option<RingEntry>> {
        loop {
            while let Some((index, result)) = self.done.pop_front() {
                let Some(command) = self.under_way.get_mut(index).and_then(Option::take) else { continue };
                match result {
                    0.. => return Ok(Some(command.entry)),
                    error => match Errno::from_raw_os_error(-error) {
                        Errno::AGAIN | Errno::INTR => self.push(command.entry, command.command)?,
                        Errno::NOTCONN | Errno::CONNABORTED | Errno::CANCELED => {}
                        error => return Err(error),
                    },
                }
            }
            if self.under_way.iter().all(Option::is_none) {
                return Ok(None);
            }
            retry_on_intr(|| self.ring.submit_and_wait(1).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
            self.hear();
        }
    }

    /// Takes over what the kernel has answered.
    fn hear(&mut self) {
        let done = self.ring.completion().map(|done| (done.user_data() as usize, done.result()));
        self.done.extend(done);
    }

    fn push(&mut self, mut entry: RingEntry, command: u32) -> Result<()> {
        let mut argument = [0; 80];
        argument[8..16].copy_from_slice(&entry.header.commit_id.to_ne_bytes());
        argument[16..18].copy_from_slice(&entry.cpu.to_ne_bytes());
        let places = Box::new([
            libc::iovec { iov_base: (&raw mut *entry.header).cast(), iov_len: size_of::<Header>() },
            libc::iovec { iov_base: entry.payload.as_mut_ptr().cast(), iov_len: entry.payload.len() },
        ]);
        let index = self.under_way.iter().position(Option::is_none).unwrap_or_else(|| {
            self.under_way.push(None);
            self.under_way.len() - 1
        });
        let mut message = opcode::UringCmd80::new(types::Fd(self.device), command)
            .cmd(argument)
            .addr(Some(places.as_ptr() as u64))
            .build()
            .user_data(index as u64);
        // SAFETY: an entry is a `struct io_uring_sqe` of 128 bytes, and at 24 of it is the 32-bit `len`, for which
        // the builder has no name: the count of places.
        unsafe { (&raw mut message).cast::<u8>().add(24).cast::<u32>().write(places.len() as u32) };
        self.under_way[index] = Some(Command { entry, command, _places: places });
        // SAFETY: the memory that the message names now belongs to `under_way`, at addresses that do not change, and is
        // not touched before the kernel has answered; the ring is closed before it is freed.
        unsafe { self.ring.submission().push(&message) }.map_err(|_| Errno::NOBUFS)
    }
}

fn ring(entries: u32) -> Result<IoUring<Entry128, cqueue::Entry>> {
    let ring = IoUring::builder().setup_single_issuer().build(entries);
    ring.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
}

/// Whether this process may have rings.
pub fn rings_work() -> bool {
    ring(1).is_ok()
}

/// How many queues the kernel wants to be served: as many as CPUs may ever be there.
///
/// # Errors
/// When the kernel does not say.
pub fn possible_cpus() -> Result<u16> {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").map_err(|_| Errno::NOENT)?;
    text.trim()
        .rsplit([',', '-'])
        .next()
        .and_then(|last| last.parse().ok())
        .map(|last: u16| last + 1)
        .ok_or(Errno::INVAL)
}

/// Lets the calling thread run on one CPU only, where that is one on which it may.
pub fn stay_on(cpu: u16) {
    let mut set = CpuSet::new();
    if usize::from(cpu) < CpuSet::MAX_CPU {
        set.set(usize::from(cpu));
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
}

/// While it lives, mounts that are made can have rings: as the kernel comes, that is switched off.
#[derive(Debug)]
pub struct RingsEnabled {
    was_off: bool,
    /// Locked: who switches it off again must not do so between another's first two messages.
    _switch: fs::File,
}

impl RingsEnabled {
    /// `None` where there is no such switch, or this process may not use it.
    pub fn for_now() -> Option<RingsEnabled> {
        let switch = fs::OpenOptions::new().read(true).write(true).open(ENABLED).ok()?;
        switch.lock().ok()?;
        let was_off = fs::read_to_string(ENABLED).ok()?.trim() == "N";
        fs::write(ENABLED, "Y").ok()?;
        Some(RingsEnabled { was_off, _switch: switch })
    }
}

impl Drop for RingsEnabled {
    fn drop(&mut self) {
        if self.was_off {
            let _ = fs::write(ENABLED, "N");
        }
    }
}
