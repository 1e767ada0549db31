//! Filters of devices: programs of the kernel's BPF machine that decide which devices a cgroup (version 2) may use.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::process::last_error;
use super::{Errno, Result};

// As in `linux/bpf.h`.
const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// One instruction, in the kernel's layout (`struct bpf_insn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// The operation and its operands.
    pub code: u8,
    /// The destination register in the lower four bits, the source in the upper four.
    pub registers: u8,
    /// Of a jump, in instructions; of memory, in bytes.
    pub offset: i16,
    /// A constant operand.
    pub immediate: i32,
}

/// The part of `union bpf_attr` for loading a program that all kernels with this type have.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    instructions: u32,
    program: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

/// Loads `program` and attaches it to a cgroup, given by a descriptor of its directory. It stays until the cgroup is
/// removed. Programs of the cgroups above also apply.
///
/// # Errors
/// As `bpf(2)`: `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN`; `EINVAL` for an invalid program.
pub fn limit_devices(cgroup: impl AsFd, program: &[Instruction]) -> Result<()> {
    let license = c"Apache-2.0";
    let load = Load {
        kind: TYPE_CGROUP_DEVICE,
        instructions: u32::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        program: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        ..Load::default()
    };
    // SAFETY: the attributes have the kernel's layout and outlive the call, as do the instructions and the license.
    let loaded = unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const load, size_of::<Load>()) };
    let Some(number) = i32::try_from(loaded).ok().filter(|number| *number >= 0) else { return Err(last_error()) };
    // SAFETY: the kernel just made this descriptor, and nothing else owns it.
    let loaded = unsafe { OwnedFd::from_raw_fd(number) };
    let attach = Attach {
        target: cgroup.as_fd().as_raw_fd().unsigned_abs(),
        program: loaded.as_raw_fd().unsigned_abs(),
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: as above; the kernel keeps the program when the descriptor closes.
    let status = unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, &raw const attach, size_of::<Attach>()) };
    if status == 0 { Ok(()) } else { Err(last_error()) }
}
