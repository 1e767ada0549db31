//! What answers the kernel, and what it agrees with the kernel on.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fuser::{INodeNo, InitFlags, KernelConfig, Notifier, Request};

use crate::sys::{Errno, Result, credentials};
use crate::union::{NodeId, Owner, Union};

use super::convert::id;
use super::opens::Opens;
use super::reply::FOR_EVER;
use super::stats::{Asked, Counters};

/// Requests that the kernel may have waiting while their senders go on.
const MAX_BACKGROUND: u16 = 64;
const MAX_WRITE: u32 = 1 << 20;

/// Answers requests from a union.
#[derive(Debug)]
pub(crate) struct Server {
    /// Set before the first request is read.
    pub(super) union: Arc<OnceLock<Union>>,
    /// Whether the kernel checks permissions, by mode and ACL.
    pub(super) kernel_checks: bool,
    /// Set before the first request is read.
    pub(super) notifier: Arc<OnceLock<Notifier>>,
    /// Reading moves no time of access.
    pub(super) no_atime: bool,
    pub(super) no_read_ahead: bool,
    /// Everything that is created belongs to root: the only user there is.
    pub(super) all_root: bool,
    /// Writes are collected in the page cache.
    pub(super) writeback: bool,
    /// Where files are passed through.
    pub(super) opens: Option<Opens>,
    pub(super) counters: Counters,
}

impl Server {
    pub(super) fn union(&self) -> Result<&Union> {
        self.union.get().ok_or(Errno::NOTCONN)
    }

    pub(super) fn owner(&self, request: &Request) -> Owner {
        if self.all_root { Owner { uid: 0, gid: 0 } } else { Owner { uid: request.uid(), gid: request.gid() } }
    }

    /// Counts a request.
    pub(super) fn begin(&self, asked: Asked) -> Asked {
        self.counters.begin(asked);
        asked
    }

    /// How long the kernel may keep the attributes of a node.
    pub(super) fn lifetime(&self, id: NodeId) -> Duration {
        match &self.opens {
            Some(opens) if opens.changes_unseen(id) => Duration::ZERO,
            _ => FOR_EVER,
        }
    }

    /// Makes the kernel ask for the attributes of a node.
    pub(super) fn forget_attributes(&self, ino: INodeNo) {
        if let Some(notifier) = self.notifier.get() {
            // Attributes alone: pages, for which this could wait for a request that waits for us, stay.
            // An error means that the kernel has forgotten the file.
            let _ = notifier.inval_inode(ino, -1, 0);
        }
    }

    /// Before the content or the owner of a file changes; the answer to the change need not carry attributes.
    pub(super) fn drop_set_id(&self, ino: INodeNo, by: &Request) -> Result<()> {
        if self.union()?.drop_set_id(id(ino), || credentials(by.pid()))? {
            self.forget_attributes(ino);
        }
        Ok(())
    }

    /// Tells the kernel what this wants of it, and takes what it offers of that.
    pub(super) fn negotiate(&mut self, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted = InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_ASYNC_DIO
            | InitFlags::FUSE_CACHE_SYMLINKS
            | InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_READDIRPLUS_AUTO
            | InitFlags::FUSE_NO_OPEN_SUPPORT
            | InitFlags::FUSE_NO_OPENDIR_SUPPORT
            | InitFlags::FUSE_DONT_MASK
            | InitFlags::FUSE_HANDLE_KILLPRIV_V2
            | InitFlags::FUSE_NO_EXPORT_SUPPORT;
        if self.kernel_checks {
            wanted |= InitFlags::FUSE_POSIX_ACL;
        }
        if self.writeback {
            wanted |= InitFlags::FUSE_WRITEBACK_CACHE;
        }
        // Layers may lie on a file system of one storey, and one more may be built upon this.
        if self.opens.is_some()
            && (config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_err() || config.set_max_stack_depth(1).is_err())
        {
            self.opens = None;
        }
        // Each is an improvement where it exists; none is needed.
        for flag in wanted.iter() {
            let _ = config.add_capabilities(flag);
        }
        if self.no_read_ahead {
            // The least that can be asked for; less than a page is none.
            let _ = config.set_max_readahead(1);
        }
        let _ = config.set_max_background(MAX_BACKGROUND);
        config.set_max_write(MAX_WRITE).map(drop).map_err(|_| io::ErrorKind::InvalidInput.into())
    }
}
