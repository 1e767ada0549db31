//! The only door to the kernel.
//!
//! The crate makes every system call here; `unsafe`, `libc` and `rustix` appear nowhere else. The rest of the crate
//! reaches the files of a layer through a [`Dir`]: an `O_PATH` descriptor from which each step is `openat2` with
//! `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS`. So no name from an image ever resolves to a path of
//! the host. Knows nothing of layers, unions or FUSE.
#![allow(unsafe_code)]

mod birth;
mod caller;
mod capability;
mod channel;
mod console_socket;
pub mod copy;
mod count;
mod credentials;
mod detached;
mod device_filter;
mod dir;
#[cfg(feature = "faults")]
pub mod faults;
mod file;
mod flags;
mod fuse_device;
mod fuse_ring;
mod fusermount;
mod handle;
mod id_maps;
mod idle;
pub mod keyring;
mod limits;
mod map;
mod memory;
mod mount;
mod name;
pub mod namespace;
pub mod orphans;
pub mod own_program;
mod path_fd;
mod pipe;
pub mod poll;
pub mod process;
mod process_id;
pub mod pty;
mod remove;
mod root;
pub mod seccomp;
pub mod signal;
mod signal_name;
pub mod socket;
mod stat;
pub mod xattr;

pub use birth::birth_time;
pub use caller::{Caller, Proc, Start};
pub use capability::{Capabilities, is_root_of_host, obey_quotas};
pub use channel::Channel;
pub use console_socket::ConsoleSocket;
pub use count::{Calls, Tally};
pub use credentials::{Credentials, credentials};
pub use detached::{Detached, Reach, Refuse};
pub use device_filter::{Instruction, limit_devices};
pub use dir::{Dir, DirEntry, Rename};
pub use file::{File, SeekTo};
pub use flags::{ExtendedFlags, FileFlags, FlagsRequest};
pub use fuse_device::FuseDevice;
pub use fuse_ring::{FuseRing, RingEntry, RingMessage, RingsEnabled, possible_cpus, rings_work, stay_on};
pub use fusermount::mount_by_helper;
pub use handle::{FileHandle, file_handle, filesystem_uuid};
pub use id_maps::{IdKind, IdMaps};
pub use idle::CpuLatency;
pub use limits::{
    DescriptorLimit, ProcessLimit, effective_gid, effective_uid, kernel_release, page_size, process_limit_names,
    raise_descriptor_limit, set_oom_score, usable_cpus,
};
pub use map::{FileMap, memory_file};
pub use memory::give_back_memory;
pub use mount::{
    FuseMount, FuseMountError, Without, fuse_mounted_without, is_on_devpts, is_on_proc, is_on_same_device,
    is_same_file, is_view_of_kernel, mount_overlay, others_may_use, remount, set_read_ahead, unmount,
};
pub use name::{Name, NameBuf};
pub use namespace::Namespaces;
pub use path_fd::PathFd;
pub use pipe::Pipe;
pub use root::Root;
pub use signal_name::number as signal_number;
pub use stat::{FsStat, Kind, SetTime, Stat, Timestamp, device_major, device_minor, make_device};

pub use rustix::fs::OFlags;
pub use rustix::io::Errno;

/// The result of a system call.
pub type Result<T, E = Errno> = std::result::Result<T, E>;
