//! The ids and limits of this process, and facts about the kernel.

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
