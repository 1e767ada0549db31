//! The modes of a mount: I/O, io_uring, idle CPUs and tables of contents.

/// How the kernel reads and writes files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// Pages are cached, and writes go to the daemon at once. Opening a file needs no request.
    Cached,
    /// As `Cached`, but the page cache collects writes.
    Writeback,
    /// The kernel itself reads and writes files in their layer: those of the upper layer, or of any layer if there is
    /// no upper. Opening a file is a request. Only for the host's root; for others this is `Cached`.
    Passthrough,
}

/// Whether requests come by io_uring. Then no thread has to be woken on another CPU, which makes most requests faster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoUring {
    /// If the kernel offers it: from Linux 6.14 on, when its module's parameter `enable_uring` is set.
    #[default]
    Auto,
    /// The host's root sets that parameter for the moment of mounting; for others as `Auto`.
    On,
    /// Requests come by `/dev/fuse` only.
    Off,
}

/// What idle CPUs do while requests come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// They sleep, as configured on the host.
    #[default]
    Sleep,
    /// They poll, so most requests take half the time, at the cost of power. Only for the host's root.
    Poll,
}

/// Which tables of contents are used for lower layers, so that their directories need not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TocUse {
    /// The tables that the store keeps for its layers.
    #[default]
    Stored,
    /// A table is made of each layer at mount time. The layers must not change afterwards.
    Make,
    /// No tables: the layers themselves are read.
    Off,
}
