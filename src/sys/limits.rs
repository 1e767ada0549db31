//! The ids and limits of this process, and facts about the kernel.

use super::process::last_error;
use super::{Errno, Result};

use rustix::process::{Resource, Rlimit, getegid, geteuid, getrlimit, setrlimit};

/// The effective user of this process.
pub fn effective_uid() -> u32 {
    geteuid().as_raw()
}

/// The effective group of this process.
pub fn effective_gid() -> u32 {
    getegid().as_raw()
}

/// Raises this process's limit of open files as far as its hard limit and 65536 allow; returns the new limit.
pub fn raise_descriptor_limit() -> usize {
    // More would only let the caches grow without benefit.
    const ENOUGH: u64 = 1 << 16;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    let now = limit.current.unwrap_or(ENOUGH);
    if now < most && setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }).is_err() {
        return now as usize;
    }
    now.max(most) as usize
}

/// A limit of open files.
#[derive(Clone, Copy, Debug)]
pub struct DescriptorLimit {
    current: Option<u64>,
}

impl DescriptorLimit {
    /// The limit that this process has now.
    pub fn now() -> DescriptorLimit {
        DescriptorLimit { current: getrlimit(Resource::Nofile).current }
    }

    /// Sets this process's limit back.
    pub fn restore(self) {
        let maximum = getrlimit(Resource::Nofile).maximum;
        // The kernel refuses no limit below the largest one.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: self.current, maximum });
    }
}

/// The page size, in bytes.
pub fn page_size() -> u32 {
    rustix::param::page_size() as u32
}

/// The kernel's version: major and minor number.
pub fn kernel_release() -> (u32, u32) {
    let name = rustix::system::uname();
    let text = name.release().to_string_lossy();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// A limit of a process (`setrlimit(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessLimit(libc::c_uint);

/// With the kernel's numbers.
const PROCESS_LIMITS: [(&str, libc::c_uint); 15] = [
    ("core", libc::RLIMIT_CORE),
    ("cpu", libc::RLIMIT_CPU),
    ("data", libc::RLIMIT_DATA),
    ("fsize", libc::RLIMIT_FSIZE),
    ("locks", libc::RLIMIT_LOCKS),
    ("memlock", libc::RLIMIT_MEMLOCK),
    ("msgqueue", libc::RLIMIT_MSGQUEUE),
    ("nice", libc::RLIMIT_NICE),
    ("nofile", libc::RLIMIT_NOFILE),
    ("nproc", libc::RLIMIT_NPROC),
    ("rss", libc::RLIMIT_RSS),
    ("rtprio", libc::RLIMIT_RTPRIO),
    ("rttime", libc::RLIMIT_RTTIME),
    ("sigpending", libc::RLIMIT_SIGPENDING),
    ("stack", libc::RLIMIT_STACK),
];

/// The names that [`ProcessLimit::named`] knows.
pub fn process_limit_names() -> impl Iterator<Item = &'static str> {
    PROCESS_LIMITS.iter().map(|(name, _)| *name)
}

impl ProcessLimit {
    /// The limit of this name, for example `nofile`.
    pub fn named(name: &str) -> Option<ProcessLimit> {
        PROCESS_LIMITS.iter().find(|(known, _)| *known == name).map(|(_, number)| ProcessLimit(*number))
    }

    /// Limits this process and those that it starts later. `None` is no limit.
    ///
    /// # Errors
    /// As `setrlimit(2)`: `EPERM` when this raises the hard limit and the process lacks `CAP_SYS_RESOURCE`.
    pub fn set(self, soft: Option<u64>, hard: Option<u64>) -> Result<()> {
        let number = |limit: Option<u64>| limit.unwrap_or(libc::RLIM_INFINITY);
        let limit = libc::rlimit { rlim_cur: number(soft), rlim_max: number(hard) };
        // SAFETY: the limit outlives the call.
        let status = unsafe { libc::setrlimit(self.0 as _, &raw const limit) };
        if status == 0 { Ok(()) } else { Err(last_error()) }
    }
}

/// Sets how likely the kernel kills this process, and those that it starts later, when memory runs out.
///
/// # Errors
/// As writing to `/proc/self/oom_score_adj`: `EACCES` when this lowers it below the least that the process ever had.
pub fn set_oom_score(score: i32) -> Result<()> {
    let write = std::fs::write("/proc/self/oom_score_adj", score.to_string());
    write.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// The number of CPUs that this process may use.
pub fn usable_cpus() -> u64 {
    std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64)
}
