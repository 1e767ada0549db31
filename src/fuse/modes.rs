//! In which ways a mount may be served.

/// How the kernel reads and writes files, in its own terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// Pages are kept, writes go through at once. Opening a file asks nothing.
    Cached,
    /// As `Cached`, and writes are collected in the page cache.
    Writeback,
    /// Files of the upper layer, and all of a union without one, are read and written in their layer by the kernel
    /// itself. Opening a file asks. For root of the host; else as `Cached`.
    Passthrough,
}

/// Whether requests come by io_uring: then no thread is woken across CPUs, and most take a half to a third of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoUring {
    /// Where the kernel offers it: from Linux 6.14 on, when its module's parameter `enable_uring` is set.
    #[default]
    Auto,
    /// Root of the host sets that parameter for the moment of mounting.
    On,
    Off,
}

/// What idle CPUs do while requests come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// As the host has it.
    #[default]
    Sleep,
    /// They poll, and so most requests take half the time, at the cost of power. For root of the host.
    Poll,
}

/// Which tables of contents answer for lower layers, so that these are not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TocUse {
    /// Those that the store keeps of its layers.
    #[default]
    Stored,
    /// One made of each layer at the time of the mount: the layers must not change under it.
    Make,
    Off,
}
