//! What answers the kernel: the one place where errors become errno, with the one panic guard and the one log line.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use crate::sys::{Errno, FuseDevice, Result, credentials};
use crate::union::{NodeId, Owner, Remove, Union};

use super::abi::{self, OutHeader};
use super::answer::{Answer, FOR_EVER};
use super::forgetting::Forgetting;
use super::idle::IdlePolling;
use super::kept_listings::KeptListings;
use super::opcode::Opcode;
use super::opens::Opens;
use super::request::Request;
use super::stats::Counters;

/// Answers requests from a union.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) device: FuseDevice,
    /// Set before the first request is answered.
    pub(super) union: OnceLock<Union>,
    /// Whether the requests of programs come by rings.
    pub(super) rings: bool,
    /// Reading moves no time of access.
    pub(super) no_atime: bool,
    /// The kernel is to have what programs read, and no more.
    pub(super) no_read_ahead: bool,
    /// Everything that is created belongs to root: the only user there is.
    pub(super) all_root: bool,
    /// Where files are passed through.
    pub(super) opens: Option<Opens>,
    pub(super) counters: Counters,
    pub(super) forgetting: Forgetting,
    pub(super) listings: KeptListings,
    /// Where idle CPUs are to poll.
    pub(super) idle: Option<IdlePolling>,
}

/// What comes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The kernel waits for what was put together.
    Answered,
    Refused(Errno),
    /// The kernel does not wait.
    Silent,
}

impl Outcome {
    /// What precedes an answer of which `len` bytes were put together, and how many of them go with it.
    pub(super) fn header(self, len: usize, unique: u64) -> (OutHeader, usize) {
        let (len, error) = match self {
            Outcome::Answered | Outcome::Silent => (len, 0),
            Outcome::Refused(error) => (0, -error.raw_os_error()),
        };
        (OutHeader::before(len, error, unique), len)
    }
}

impl Server {
    /// Does what is asked, and puts the answer together.
    pub(super) fn serve(&self, request: Request<'_>, to: &mut Answer<'_>) -> Outcome {
        let Some(opcode) = Opcode::of(request.header.opcode) else { return Outcome::Refused(Errno::NOSYS) };
        if let Some(idle) = &self.idle {
            idle.request();
        }
        // A question for the counts is not to change them: which this is, shows its key.
        if opcode != Opcode::Getxattr {
            self.counters.begin(opcode);
        }
        let act = |to: &mut Answer<'_>| {
            catch_unwind(AssertUnwindSafe(|| self.act(opcode, request, to))).unwrap_or(Err(Errno::IO))
        };
        let mut result = match opcode {
            Opcode::Forget | Opcode::BatchForget => self.forgetting.during(|| act(to)),
            _ => act(to),
        };
        if opcode.may_be_repeated()
            && matches!(result, Err(Errno::NOSPC | Errno::DQUOT))
            && self.forgetting.settle(&self.device)
        {
            to.clear();
            result = act(to);
        }
        if let Err(error) = &result {
            // Misses and refusals are a file system's daily bread; input and output errors are not.
            if matches!(*error, Errno::IO | Errno::STALE | Errno::NOSPC | Errno::MFILE | Errno::NFILE) {
                tracing::warn!(request = opcode.name(), %error, "failed");
            } else {
                tracing::trace!(request = opcode.name(), %error, "refused");
            }
        }
        match (opcode, result) {
            (Opcode::Forget | Opcode::BatchForget, _) => Outcome::Silent,
            (_, Ok(())) => Outcome::Answered,
            (_, Err(error)) => Outcome::Refused(error),
        }
    }

    fn act(&self, opcode: Opcode, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        match opcode {
            Opcode::Access => self.access(request),
            Opcode::BatchForget => self.forget_many(request),
            Opcode::CopyFileRange => self.copy_file_range(request, to),
            Opcode::Create => self.create(request, to),
            Opcode::Fallocate => self.fallocate(request),
            Opcode::Forget => {
                let abi::ForgetIn { nlookup } = request.take()?;
                self.forget(request.node(), nlookup);
                Ok(())
            }
            Opcode::Fsync | Opcode::Fsyncdir => self.sync(request),
            Opcode::Getattr => self.getattr(request, to),
            Opcode::Getxattr => self.getxattr(request, to),
            Opcode::Ioctl => self.ioctl(request, to),
            Opcode::Link => self.link(request, to),
            Opcode::Listxattr => self.listxattr(request, to),
            Opcode::Lookup => self.lookup(request, to),
            Opcode::Lseek => self.lseek(request, to),
            Opcode::Mkdir => self.mkdir(request, to),
            Opcode::Mknod => self.mknod(request, to),
            Opcode::Open => self.open(request, to),
            Opcode::Read => self.read(request, to),
            Opcode::Readdir => self.readdir(request, to),
            Opcode::Readdirplus => self.readdirplus(request, to),
            Opcode::Readlink => self.readlink(request, to),
            Opcode::Release => self.release(request),
            Opcode::Removexattr => self.removexattr(request),
            Opcode::Rename => self.rename(request),
            Opcode::Rename2 => self.rename2(request),
            Opcode::Rmdir => self.remove(request, Remove::Dir),
            Opcode::Setattr => self.setattr(request, to),
            Opcode::Setxattr => self.setxattr(request),
            Opcode::Statfs => to.stat_fs(&self.union()?.stat_fs()?),
            Opcode::Symlink => self.symlink(request, to),
            Opcode::Unlink => self.remove(request, Remove::File),
            Opcode::Write => self.write(request, to),
            // The kernel's last word.
            Opcode::Destroy => Ok(()),
            // Asked once, and after this answer never again. What polls a regular file finds it ready; requests are
            // not interrupted.
            Opcode::Flush | Opcode::Interrupt | Opcode::Opendir | Opcode::Poll => Err(Errno::NOSYS),
            // It came first, and comes once.
            Opcode::Init => Err(Errno::IO),
        }
    }

    pub(super) fn union(&self) -> Result<&Union> {
        self.union.get().ok_or(Errno::NOTCONN)
    }

    /// To whom that belongs which a request creates.
    pub(super) fn owner(&self, request: &Request<'_>) -> Owner {
        if self.all_root {
            Owner { uid: 0, gid: 0 }
        } else {
            Owner { uid: request.header.uid, gid: request.header.gid }
        }
    }

    /// How long the kernel may keep the attributes of a node, in seconds.
    pub(super) fn lifetime(&self, id: NodeId) -> u64 {
        match &self.opens {
            Some(opens) if opens.changes_unseen(id) => 0,
            _ => FOR_EVER,
        }
    }

    /// Makes the kernel ask for the attributes of a node.
    pub(super) fn forget_attributes(&self, id: NodeId) {
        // Attributes alone: pages, for which this could wait for a request that waits for us, stay.
        let notice = abi::NotifyInvalInodeOut { ino: id.0, off: -1, len: 0 };
        let header = OutHeader::before(size_of_val(&notice), abi::NOTIFY_INVAL_INODE, 0);
        // An error means that the kernel has forgotten the file.
        let _ = self.device.send(&header.with(&notice));
    }

    /// Before the content or the owner of a file changes; the answer to the change need not carry attributes.
    pub(super) fn drop_set_id(&self, id: NodeId, by: &Request<'_>) -> Result<()> {
        if self.union()?.drop_set_id(id, || credentials(by.header.pid))? {
            self.forget_attributes(id);
        }
        Ok(())
    }
}
