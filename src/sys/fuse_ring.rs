//! FUSE requests by io_uring: each CPU has its own queue. The kernel queues a request on the CPU of the requesting
//! program, so the answering thread wakes on the same CPU.

use std::collections::VecDeque;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use io_uring::squeue::Entry128;
use io_uring::{IoUring, cqueue, opcode, types};
use rustix::io::retry_on_intr;
use rustix::thread::CpuSet;

use super::{Errno, FuseDevice, Result};

/// The kernel's switch: whether new mounts may use rings.
const ENABLED: &str = "/sys/module/fuse/parameters/enable_uring";

const REGISTER: u32 = 1;
const COMMIT_AND_FETCH: u32 = 2;

/// What the kernel fills in besides the payload.
#[repr(C)]
struct Header {
    /// A `struct fuse_in_header` in a request, a `struct fuse_out_header` in an answer.
    in_out: [u8; 128],
    /// The first argument.
    first: [u8; 128],
    flags: u64,
    commit_id: u64,
    payload_size: u32,
    padding: u32,
    reserved: u64,
}

/// A place in the queue of one CPU: room for a request; the answer overwrites the request.
///
/// The kernel keeps the addresses of the header and the payload; moving this value does not change them. An entry
/// belongs either to the ring that waits for its next request, or to the code that answers its request. The answer may
/// go through another ring than the request came by; the entry then belongs to that ring.
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

/// A request in memory, and the room for its answer, which overwrites the payload.
#[derive(Debug)]
pub struct RingMessage<'a> {
    /// The request's header.
    pub header: &'a [u8],
    /// The structure that follows the header, as the operation defines it.
    pub first_argument: &'a [u8],
    /// The rest of the request; the answer is written over it.
    pub payload: &'a mut [u8],
    /// The length of the request's part of the payload.
    pub len: usize,
}

impl RingEntry {
    /// An entry for requests of programs on `cpu`, with payloads of up to `size` bytes. Memory pages are taken on first
    /// use.
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

    /// The CPU whose queue the entry belongs to.
    pub fn cpu(&self) -> u16 {
        self.cpu
    }

    /// The request in this entry.
    pub fn message(&mut self) -> RingMessage<'_> {
        let len = self.payload.len().min(self.header.payload_size as usize);
        let Header { in_out, first, .. } = &*self.header;
        RingMessage { header: in_out, first_argument: first, payload: &mut self.payload, len }
    }
}

/// A ring that receives requests. Only the thread that made it may use it.
pub struct FuseRing {
    // First field: dropped before the memory that the kernel may write to.
    ring: IoUring<Entry128, cqueue::Entry>,
    device: RawFd,
    under_way: Vec<Option<Command>>,
    /// Completions not handled yet: the index of the command, and its result.
    done: VecDeque<(usize, i32)>,
}

/// A command that the kernel has not completed yet.
struct Command {
    entry: RingEntry,
    command: u32,
    /// The kernel reads this when it takes the command.
    _places: Box<[libc::iovec; 2]>,
}

impl std::fmt::Debug for FuseRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FuseRing").field("entries", &self.under_way.len()).finish_non_exhaustive()
    }
}

impl FuseRing {
    /// A ring for `entries` entries at once. The device must stay open as long as the ring.
    ///
    /// # Errors
    /// As `io_uring_setup(2)`: `EPERM` where io_uring is disabled.
    pub fn new(device: &FuseDevice, entries: u32) -> Result<FuseRing> {
        Ok(FuseRing {
            ring: ring(entries)?,
            device: device.as_fd().as_raw_fd(),
            under_way: Vec::new(),
            done: VecDeque::new(),
        })
    }

    /// Gives the entries to the kernel, which puts requests into them from now on. Returns `false` when the mount has
    /// no rings because they were disabled when it was made.
    ///
    /// # Errors
    /// As `io_uring_enter(2)`; `ENOBUFS` for more entries than the ring has room for.
    pub fn register(&mut self, entries: impl Iterator<Item = RingEntry>) -> Result<bool> {
        for entry in entries {
            self.push(entry, REGISTER)?;
        }
        self.ring.submit().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        self.collect();
        let refused = -Errno::OPNOTSUPP.raw_os_error();
        Ok(self.done.iter().all(|(_, result)| *result != refused))
    }

    /// Queues the answer to the request in an entry; `len` bytes of the payload belong to the answer. The next
    /// [`wait`](Self::wait) sends it. Then the entry waits in this ring for its next request.
    ///
    /// # Errors
    /// As `io_uring_enter(2)`.
    pub fn answer(&mut self, mut entry: RingEntry, header: &[u8], len: usize) -> Result<()> {
        entry.header.in_out[..header.len()].copy_from_slice(header);
        entry.header.payload_size = len as u32;
        self.push(entry, COMMIT_AND_FETCH)
    }

    /// Waits for a request in one of this ring's entries. Returns `None` when the ring has none left: the mount is
    /// gone, or all entries are elsewhere.
    ///
    /// # Errors
    /// As `io_uring_enter(2)`, and the kernel's error for an answer.
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
            self.collect();
        }
    }

    /// Moves the kernel's completions to `done`.
    fn collect(&mut self) {
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
        // SAFETY: an entry is a `struct io_uring_sqe` of 128 bytes. Offset 24 holds its 32-bit `len`, here the count of
        // places, for which the builder has no method.
        unsafe { (&raw mut message).cast::<u8>().add(24).cast::<u32>().write(places.len() as u32) };
        self.under_way[index] = Some(Command { entry, command, _places: places });
        // SAFETY: the memory that the message points to now belongs to `under_way`. Its addresses do not change, and
        // nothing touches it before the kernel has completed the command. The ring is closed before it is freed.
        unsafe { self.ring.submission().push(&message) }.map_err(|_| Errno::NOBUFS)
    }
}

fn ring(entries: u32) -> Result<IoUring<Entry128, cqueue::Entry>> {
    let ring = IoUring::builder().setup_single_issuer().build(entries);
    ring.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))
}

/// Whether this process may use io_uring.
pub fn rings_work() -> bool {
    ring(1).is_ok()
}

/// The number of queues that the kernel expects: one for each CPU that may ever exist.
///
/// # Errors
/// `ENOENT` or `EINVAL` when `/sys` does not tell.
pub fn possible_cpus() -> Result<u16> {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").map_err(|_| Errno::NOENT)?;
    text.trim()
        .rsplit([',', '-'])
        .next()
        .and_then(|last| last.parse().ok())
        .map(|last: u16| last + 1)
        .ok_or(Errno::INVAL)
}

/// Pins the calling thread to one CPU, if it may run there.
pub fn stay_on(cpu: u16) {
    let mut set = CpuSet::new();
    if usize::from(cpu) < CpuSet::MAX_CPU {
        set.set(usize::from(cpu));
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
}

/// Allows new mounts to use rings while this value lives. By default the kernel does not allow it.
#[derive(Debug)]
pub struct RingsEnabled {
    was_off: bool,
    /// Locked, so that another process does not switch rings off between this mount's INIT request and its answer.
    _switch: fs::File,
}

impl RingsEnabled {
    /// Switches rings on. `None` where the kernel has no such switch, or this process may not write it.
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
