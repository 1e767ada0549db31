//! Namespaces: the users, mounts, processes, host names and networks that a process has.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process as rps;
use rustix::thread::{self as rth, LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags};

use super::process::last_error;
use super::{Errno, Result};

/// A set of namespaces to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces(UnshareFlags);

impl Namespaces {
    /// A user namespace.
    pub const USER: Namespaces = Namespaces(UnshareFlags::NEWUSER);
    /// A mount namespace.
    pub const MOUNT: Namespaces = Namespaces(UnshareFlags::NEWNS);
    /// A PID namespace; the process that makes it stays outside, its next child is process 1.
    pub const PID: Namespaces = Namespaces(UnshareFlags::NEWPID);
    /// A namespace of System V IPC and POSIX message queues.
    pub const IPC: Namespaces = Namespaces(UnshareFlags::NEWIPC);
    /// A namespace of the host name.
    pub const UTS: Namespaces = Namespaces(UnshareFlags::NEWUTS);
    /// A cgroup namespace.
    pub const CGROUP: Namespaces = Namespaces(UnshareFlags::NEWCGROUP);
    /// A network namespace.
    pub const NET: Namespaces = Namespaces(UnshareFlags::NEWNET);

    /// No namespace.
    pub const fn empty() -> Namespaces {
        Namespaces(UnshareFlags::empty())
    }

    /// These and `other`.
    #[must_use]
    pub const fn and(self, other: Namespaces) -> Namespaces {
        Namespaces(self.0.union(other.0))
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of `other` are among these.
    pub fn contains(self, other: Namespaces) -> bool {
        self.0.contains(other.0)
    }

    /// Those that are in both sets.
    #[must_use]
    pub const fn within(self, other: Namespaces) -> Namespaces {
        Namespaces(self.0.intersection(other.0))
    }

    /// Those that are not in the other set.
    #[must_use]
    pub const fn without(self, other: Namespaces) -> Namespaces {
        Namespaces(self.0.difference(other.0))
    }

    pub(super) fn clone_flags(self) -> u64 {
        self.0.bits().into()
    }
}

/// Moves this process into new `namespaces`. [`Namespaces::PID`] affects its next children only.
///
/// # Errors
/// As `unshare(2)`; `EINVAL` for a user namespace when this process has several threads.
pub fn enter_new(namespaces: Namespaces) -> Result<()> {
    // SAFETY: the unsafe flag is FILES, which `Namespaces` cannot hold.
    unsafe { rth::unshare_unsafe(namespaces.0) }
}

/// The links in `/proc/PID/ns` by which the namespaces of two processes are compared.
const LINKS: [(&str, Namespaces); 7] = [
    ("user", Namespaces::USER),
    ("mnt", Namespaces::MOUNT),
    ("pid", Namespaces::PID),
    ("ipc", Namespaces::IPC),
    ("uts", Namespaces::UTS),
    ("cgroup", Namespaces::CGROUP),
    ("net", Namespaces::NET),
];

/// The namespaces in which the process `pid` is and this one is not.
///
/// # Errors
/// `ENOENT` when there is no such process; `EACCES` when this process may not look at it.
pub fn differing(pid: u32) -> Result<Namespaces> {
    let mut differing = Namespaces::empty();
    for (link, namespace) in LINKS {
        let read = |process: &str| fs::read_link(format!("/proc/{process}/ns/{link}")).map_err(errno);
        if read(&pid.to_string())? != read("self")? {
            differing = differing.and(namespace);
        }
    }
    Ok(differing)
}

/// Moves this process into those of the `namespaces` of another process, which is open as `pidfd`. [`Namespaces::PID`]
/// affects its next children only. After a mount namespace, root and working directory are the root of that namespace.
///
/// # Errors
/// As `setns(2)`: `ESRCH` when the process has ended, `EPERM` without rights over its namespaces, `EINVAL` for a user
/// namespace when this process is in it already or has several threads.
pub fn join(pidfd: impl AsFd, namespaces: Namespaces) -> Result<()> {
    if namespaces.is_empty() {
        return Ok(());
    }
    let kinds = ThreadNameSpaceType::from_bits_retain(namespaces.0.bits());
    rustix::thread::move_into_thread_name_spaces(pidfd.as_fd(), kinds)
}

/// Maps user 0 and group 0 of this process's new user namespace to `uid` and `gid` outside, and no other ids.
///
/// # Errors
/// As `write(2)` on `/proc/self/uid_map`; `EPERM` when the new namespace gave this process no capabilities.
pub fn map_single(uid: u32, gid: u32) -> Result<()> {
    write_proc("setgroups", "deny")?;
    write_proc("uid_map", &format!("0 {uid} 1"))?;
    write_proc("gid_map", &format!("0 {gid} 1"))
}

/// How many ids this process's user namespace maps, as `(users, groups)`.
///
/// # Errors
/// As reading `/proc/self/uid_map`.
pub fn mapped_ids() -> Result<(u64, u64)> {
    let count = |file: &str| -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/self/{file}")).map_err(errno)?;
        let lengths = text.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
        Ok(lengths.fold(0, u64::saturating_add))
    };
    Ok((count("uid_map")?, count("gid_map")?))
}

/// The text of the id maps of this process's user namespace: of users, then of groups.
///
/// # Errors
/// As reading `/proc/self/uid_map`.
pub fn id_maps() -> Result<[String; 2]> {
    let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).map_err(errno);
    Ok([read("uid_map")?, read("gid_map")?])
}

/// Whether this process may set supplementary groups. It may not after a user mapped only itself.
pub fn may_set_groups() -> bool {
    fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim_end() == "allow")
}

fn write_proc(file: &str, text: &str) -> Result<()> {
    fs::write(format!("/proc/self/{file}"), text).map_err(errno)
}

fn errno(e: io::Error) -> Errno {
    Errno::from_io_error(&e).unwrap_or(Errno::IO)
}

/// Makes all mounts slaves: later mounts in this namespace stay inside, while the host's later mounts and unmounts
/// reach it too.
///
/// Without this, copies in this namespace would keep mounts that the host unmounts alive, and the processes that serve
/// them.
///
/// # Errors
/// As `mount(2)`.
pub fn keep_mounts_inside() -> Result<()> {
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
}

/// Makes all mounts private: mounts and unmounts pass neither out of this namespace nor into it from now on.
///
/// # Errors
/// As `mount(2)`.
pub fn make_mounts_private() -> Result<()> {
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
}

/// Makes the mount with root `new_root` the root of this mount namespace, and unmounts everything else.
///
/// # Errors
/// As `pivot_root(2)`; `EINVAL` when `new_root` is not the root of a mount.
pub fn pivot_root(new_root: impl AsFd) -> Result<()> {
    rps::fchdir(new_root)?;
    // The old root is now mounted on top of the new one; unmount it there.
    rps::pivot_root(c".", c".")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rps::chdir(c"/")
}

/// The name of this host in its UTS namespace.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// # Errors
/// As `sethostname(2)`.
pub fn set_host_name(name: &str) -> Result<()> {
    rustix::system::sethostname(name.as_bytes())
}

/// # Errors
/// As `setdomainname(2)`.
pub fn set_domain_name(name: &str) -> Result<()> {
    rustix::system::setdomainname(name.as_bytes())
}

/// Moves this process into the network namespace that `file` is open on.
///
/// # Errors
/// As `setns(2)`.
pub fn join_network(file: impl AsFd) -> Result<()> {
    rth::move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
}

/// Moves this process into the user namespace of the process that `process`, a PID descriptor, is open on.
///
/// # Errors
/// As `setns(2)`: `EINVAL` when this process is in that namespace already, or has several threads.
pub fn join_users(process: impl AsFd) -> Result<()> {
    rth::move_into_thread_name_spaces(process.as_fd(), ThreadNameSpaceType::USER)
}

/// Brings up `lo`, the only interface of a new network namespace.
///
/// # Errors
/// As `ioctl(SIOCSIFFLAGS)`.
pub fn loopback_up() -> Result<()> {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: all-zero bytes are a valid value of these integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is a whole `ifreq`, which outlives the call.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if status == 0 { Ok(()) } else { Err(last_error()) }
}

/// One line of an id map: `count` ids starting at `inside` map to those starting at `outside`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id in the namespace.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many ids.
    pub count: u32,
}

impl IdRange {
    /// The three numbers as `newuidmap` takes them.
    pub fn arguments(self) -> [String; 3] {
        [self.inside, self.outside, self.count].map(|n| n.to_string())
    }
}
