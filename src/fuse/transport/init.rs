//! The handshake: in INIT, the first request, the kernel and this process agree on features.

use crate::fuse::wire::abi::{self, InitIn, InitMore, InitOut, OutHeader, init};
use crate::fuse::wire::opcode::Opcode;
use crate::fuse::wire::request::Request;
use crate::fuse::{Io, IoUring, Options};
use crate::sys::{Errno, FuseDevice, Result, page_size, rings_work};

use super::device;

/// How many background requests, whose senders do not wait, the kernel may have in flight.
const MAX_BACKGROUND: u16 = 64;

/// The result of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fuse) struct Agreed {
    /// Files can be passed through.
    pub passthrough: bool,
    /// Requests come by rings. None comes before each CPU has a ring.
    pub rings: bool,
}

/// Waits for the first request of a mount and answers it.
///
/// # Errors
/// As `read(2)` and `write(2)` of the device; `EPROTO` for a kernel that is too old.
pub(in crate::fuse) fn shake_hands(device: &FuseDevice, options: &Options) -> Result<Agreed> {
    let mut buffer = vec![0; abi::READ_BUFFER_LEAST];
    let request = device::next(device, &mut buffer)?.ok_or(Errno::NODEV)?;
    if Opcode::of(request.header.opcode) != Some(Opcode::Init) {
        return Err(Errno::PROTO);
    }
    let answer = negotiate(request, options)?;
    let header = OutHeader::before(size_of_val(&answer), 0, request.header.unique);
    device.send(&header.with(&answer))?;
    let taken = flags_of(answer.flags, answer.flags2);
    Ok(Agreed { passthrough: taken & init::PASSTHROUGH != 0, rings: taken & init::OVER_IO_URING != 0 })
}

fn flags_of(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// Picks the wanted features among those that the kernel offers. Each one improves the mount, and none is required.
fn negotiate(mut request: Request<'_>, options: &Options) -> Result<InitOut> {
    let InitIn { major, minor, max_readahead, flags } = request.take()?;
    if major != abi::MAJOR || minor < abi::MINOR_LEAST {
        return Err(Errno::PROTO);
    }
    let more = if u64::from(flags) & init::INIT_EXT != 0 { request.take::<InitMore>()?.flags2 } else { 0 };
    let mut taken = flags_of(flags, more) & wanted(options);
    // Tested only if the kernel offers rings, since most kernels have them switched off.
    if taken & init::OVER_IO_URING != 0 && !rings_work() {
        taken &= !init::OVER_IO_URING;
    }
    Ok(InitOut {
        major: abi::MAJOR,
        minor: abi::MINOR,
        // Less than a page means no read-ahead.
        max_readahead: if options.no_read_ahead { 1 } else { max_readahead },
        flags: taken as u32,
        max_background: MAX_BACKGROUND,
        congestion_threshold: MAX_BACKGROUND / 4 * 3,
        max_write: abi::MAX_WRITE,
        time_gran: 1,
        max_pages: abi::MAX_WRITE.div_ceil(page_size()) as u16,
        map_alignment: 0,
        flags2: (taken >> 32) as u32,
        // The kernel allows two stacked file systems. 1 lets this be the first of them, and another may be stacked on
        // it; layers must not be on a stacked file system.
        max_stack_depth: u32::from(taken & init::PASSTHROUGH != 0),
        _unused: [0; 6],
    })
}

fn wanted(options: &Options) -> u64 {
    let mut wanted = init::ASYNC_DIO
        | init::ASYNC_READ
        | init::BIG_WRITES
        | init::CACHE_SYMLINKS
        | init::DONT_MASK
        | init::DO_READDIRPLUS
        | init::HANDLE_KILLPRIV_V2
        | init::INIT_EXT
        | init::MAX_PAGES
        | init::NO_EXPORT_SUPPORT
        | init::NO_OPENDIR_SUPPORT
        | init::NO_OPEN_SUPPORT
        | init::PARALLEL_DIROPS
        | init::READDIRPLUS_AUTO;
    if !options.no_permission_checks {
        wanted |= init::POSIX_ACL;
    }
    match options.io() {
        Io::Writeback => wanted |= init::WRITEBACK_CACHE,
        Io::Passthrough => wanted |= init::PASSTHROUGH,
        Io::Cached => {}
    }
    if options.io_uring != IoUring::Off {
        wanted |= init::OVER_IO_URING;
    }
    wanted
}
