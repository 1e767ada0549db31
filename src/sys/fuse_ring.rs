//! Requests of a FUSE mount by io_uring: the kernel puts a request of a program into a queue of the CPU on which the
//! program runs, and a thread that waits on that CPU need not be woken across CPUs.

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

/// Room for one request at a time, in the queue of one CPU.
pub struct FuseRing {
    // Dropped before the memory that it names.
    ring: IoUring<Entry128, cqueue::Entry>,
    device: RawFd,
    cpu: u16,
    header: Box<Header>,
    payload: Vec<u8>,
    places: Box<[libc::iovec; 2]>,
}

impl std::fmt::Debug for FuseRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FuseRing").field("cpu", &self.cpu).finish_non_exhaustive()
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

impl FuseRing {
    /// Room for payloads of `size` bytes, for the calling thread alone. The device is to stay open as long as this.
    ///
    /// # Errors
    /// As `io_uring_setup(2)`: `EPERM` where that is switched off.
    pub fn new(device: &FuseDevice, cpu: u16, size: usize) -> Result<FuseRing> {
        let mut header = Box::new(Header {
            in_out: [0; 128],
            first: [0; 128],
            flags: 0,
            commit_id: 0,
            payload_size: 0,
            padding: 0,
            reserved: 0,
        });
        let mut payload = vec![0; size];
        let places = Box::new([
            libc::iovec { iov_base: (&raw mut *header).cast(), iov_len: size_of::<Header>() },
            libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: size },
        ]);
        Ok(FuseRing { ring: ring()?, device: device.as_fd().as_raw_fd(), cpu, header, payload, places })
    }

    /// Waits for the first request.
    ///
    /// # Errors
    /// `EOPNOTSUPP` when rings were switched off while the mount was made; else as [`next`](Self::next).
    pub fn first(&mut self) -> Result<bool> {
        self.command(REGISTER, 0)
    }

    /// Sends the answer to the request that is here, of which `len` bytes lie in the payload, and waits for the next;
    /// `false` when the mount is gone.
    ///
    /// # Errors
    /// As `io_uring_enter(2)`, and what the kernel says of the answer.
    pub fn next(&mut self, header: &[u8], len: usize) -> Result<bool> {
        self.header.in_out[..header.len()].copy_from_slice(header);
        self.header.payload_size = len as u32;
        self.command(COMMIT_AND_FETCH, self.header.commit_id)
    }

    /// The request that is here.
    pub fn message(&mut self) -> RingMessage<'_> {
        let len = self.payload.len().min(self.header.payload_size as usize);
        let Header { in_out, first, .. } = &*self.header;
        RingMessage { header: in_out, first_argument: first, payload: &mut self.payload, len }
    }

    fn command(&mut self, command: u32, commit_id: u64) -> Result<bool> {
        let mut argument = [0; 80];
        argument[8..16].copy_from_slice(&commit_id.to_ne_bytes());
        argument[16..18].copy_from_slice(&self.cpu.to_ne_bytes());
        loop {
            let places = (&raw const *self.places) as u64;
            let mut entry =
                opcode::UringCmd80::new(types::Fd(self.device), command).cmd(argument).addr(Some(places)).build();
            // SAFETY: an entry is a `struct io_uring_sqe` of 128 bytes, and at 24 of it is the 32-bit `len`, for which
            // the builder has no name: the count of places.
            unsafe { (&raw mut entry).cast::<u8>().add(24).cast::<u32>().write(self.places.len() as u32) };
            // SAFETY: the memory that the entry names belongs to this value, at addresses that do not change, and the
            // ring is closed before it is freed; nobody else uses the memory while the command is under way.
            unsafe { self.ring.submission().push(&entry) }.map_err(|_| Errno::NOBUFS)?;
            retry_on_intr(|| self.ring.submit_and_wait(1).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
            let Some(done) = self.ring.completion().next() else { return Err(Errno::IO) };
            match done.result() {
                0.. => return Ok(true),
                error => match Errno::from_raw_os_error(-error) {
                    Errno::AGAIN | Errno::INTR => {}
                    Errno::NOTCONN | Errno::CONNABORTED | Errno::CANCELED => return Ok(false),
                    error => return Err(error),
                },
            }
        }
    }
}

fn ring() -> Result<IoUring<Entry128, cqueue::Entry>> {
    let ring = IoUring::builder().setup_single_issuer().build(1);
    ring.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
}

/// Whether this process may have rings.
pub fn rings_work() -> bool {
    ring().is_ok()
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
