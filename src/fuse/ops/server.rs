//! The server: dispatches each request, turns errors into errno, catches panics and logs failures, all in one place.

use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use zerocopy::IntoBytes;

use crate::fuse::idle::IdlePolling;
use crate::fuse::stats::Counters;
use crate::fuse::wire::abi::{self, InHeader, OutHeader};
use crate::fuse::wire::answer::Answer;
use crate::fuse::wire::convert::FOR_EVER;
use crate::fuse::wire::opcode::Opcode;
use crate::fuse::wire::request::Request;
use crate::sys::{Errno, FuseDevice, IdKind, IdMaps, Name, Result, credentials};
use crate::union::{NodeId, Owner, Remove, Union};

use super::opens::Opens;
use super::pending_forgets::PendingForgets;
use super::readdir_cache::ReaddirCache;

/// Answers requests from a union.
#[derive(Debug)]
pub(in crate::fuse) struct Server {
    pub(in crate::fuse) device: FuseDevice,
    /// Set before the first request is answered.
    pub(in crate::fuse) union: OnceLock<Union>,
    /// Set with the union.
    pub(in crate::fuse) ids: OnceLock<IdMaps>,
    /// Whether requests that wait for an answer come by io_uring.
    pub(in crate::fuse) rings: bool,
    /// Reading does not change access times.
    pub(in crate::fuse) no_atime: bool,
    /// The kernel gets only the pages that programs read.
    pub(in crate::fuse) no_read_ahead: bool,
    /// Answers STATX, so that programs see birth times.
    pub(in crate::fuse) birth_time: bool,
    /// All new files belong to root, because the mount has no other user.
    pub(in crate::fuse) all_root: bool,
    /// Set when files can be passed through.
    pub(in crate::fuse) opens: Option<Opens>,
    pub(in crate::fuse) counters: Counters,
    pub(in crate::fuse) pending_forgets: PendingForgets,
    pub(in crate::fuse) readdir_cache: ReaddirCache,
    /// Set with `idle=poll`.
    pub(in crate::fuse) idle: Option<IdlePolling>,
}

/// The result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fuse) enum Outcome {
    /// The answer is ready to be sent.
    Answered,
    Refused(Errno),
    /// The kernel expects no answer.
    Silent,
}

impl Outcome {
    /// The header of an answer of `len` bytes, and how many of these bytes to send: none after an error.
    pub(in crate::fuse) fn header(self, len: usize, unique: u64) -> (OutHeader, usize) {
        let (len, error) = match self {
            Outcome::Answered | Outcome::Silent => (len, 0),
            Outcome::Refused(error) => (0, -error.raw_os_error()),
        };
        (OutHeader::before(len, error, unique), len)
    }
}

impl Server {
    /// Performs the request and writes its answer to `to`.
    pub(in crate::fuse) fn serve(&self, request: Request<'_>, to: &mut Answer<'_>) -> Outcome {
        let Some(opcode) = Opcode::of(request.header.opcode) else { return Outcome::Refused(Errno::NOSYS) };
        if let Some(idle) = &self.idle {
            idle.request();
        }
        // Reading the counters must not change them. The xattr name tells whether this is such a read, so `getxattr`
        // itself counts.
        if opcode != Opcode::Getxattr {
            self.counters.begin(opcode);
        }
        let act = |to: &mut Answer<'_>| {
            catch_unwind(AssertUnwindSafe(|| self.act(opcode, request, to))).unwrap_or(Err(Errno::IO))
        };
        let mut result = match opcode {
            Opcode::Forget | Opcode::BatchForget => self.pending_forgets.during(|| act(to)),
            _ => act(to),
        };
        if opcode.may_be_repeated()
            && matches!(result, Err(Errno::NOSPC | Errno::DQUOT))
            && self.pending_forgets.settle(&self.device)
        {
            to.clear();
            result = act(to);
        }
        if let Err(error) = &result {
            // Missing names and refusals are normal; these errors are worth a warning.
            if matches!(*error, Errno::IO | Errno::STALE | Errno::NOSPC | Errno::MFILE | Errno::NFILE) {
                let name = name_in(opcode, request).map(tracing::field::debug);
                let InHeader { nodeid: node, pid, .. } = request.header;
                tracing::warn!(request = opcode.name(), node, name, pid, %error, "a request failed");
            } else {
                tracing::trace!(request = opcode.name(), %error, "a request was refused");
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
            Opcode::CopyFileRange64 => self.copy_file_range_64(request, to),
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
            Opcode::Statx => self.statx(request, to),
            Opcode::Symlink => self.symlink(request, to),
            Opcode::Tmpfile => self.tmpfile(request, to),
            Opcode::Unlink => self.remove(request, Remove::File),
            Opcode::Write => self.write(request, to),
            // Sent at unmount; nothing is left to do.
            Opcode::Destroy => Ok(()),
            // After ENOSYS the kernel does not send these again. It then reports regular files as always ready to poll,
            // and interrupts no requests. Linux 6.18 sends SYNCFS only to virtiofs and `fuseblk`; it is listed so that
            // `stats` would count it.
            Opcode::Flush | Opcode::Interrupt | Opcode::Opendir | Opcode::Poll | Opcode::Syncfs => Err(Errno::NOSYS),
            // The handshake has answered the only INIT.
            Opcode::Init => Err(Errno::IO),
        }
    }

    pub(in crate::fuse) fn union(&self) -> Result<&Union> {
        self.union.get().ok_or(Errno::NOTCONN)
    }

    /// The owner of what the request creates.
    ///
    /// # Errors
    /// `EOVERFLOW` when the caller's user or group has no number here, as with mapped mounts of the kernel.
    pub(in crate::fuse) fn owner(&self, request: &Request<'_>) -> Result<Owner> {
        if self.all_root {
            return Ok(Owner { uid: 0, gid: 0 });
        }
        let inside = |kind, id| self.ids().to_inside(kind, id).map_err(|_| Errno::OVERFLOW);
        Ok(Owner { uid: inside(IdKind::User, request.header.uid)?, gid: inside(IdKind::Group, request.header.gid)? })
    }

    /// The union's numbers of users and groups are those inside.
    pub(in crate::fuse) fn ids(&self) -> &IdMaps {
        self.ids.get_or_init(IdMaps::default)
    }

    /// How long the kernel may keep the attributes of a node, in seconds.
    pub(in crate::fuse) fn lifetime(&self, id: NodeId) -> u64 {
        match &self.opens {
            Some(opens) if opens.changes_unseen(id) => 0,
            _ => FOR_EVER,
        }
    }

    /// Makes the kernel ask for the attributes of a node.
    pub(in crate::fuse) fn forget_attributes(&self, id: NodeId) {
        // Invalidates attributes only: invalidating pages could deadlock with a reader that waits for this thread.
        let notice = abi::NotifyInvalInodeOut { ino: id.0, off: -1, len: 0 };
        let header = OutHeader::before(size_of_val(&notice), abi::NOTIFY_INVAL_INODE, 0);
        // An error means that the kernel has forgotten the file.
        let _ = self.device.send(&header.with(&notice));
    }

    /// Makes the kernel look a name up again, and list its directory again. Must not be called by a thread that answers
    /// requests: it waits for programs that change the directory or list it, and these wait for answers.
    pub(in crate::fuse) fn forget_name(&self, dir: NodeId, name: Name<'_>) {
        let bytes = name.as_bytes();
        let notice = abi::NotifyInvalEntryOut { parent: dir.0, namelen: bytes.len() as u32, flags: 0 };
        let header = OutHeader::before(size_of_val(&notice) + bytes.len() + 1, abi::NOTIFY_INVAL_ENTRY, 0);
        // Errors mean that the kernel has forgotten the name or the directory.
        let _ = self.device.send(&[header.as_bytes(), notice.as_bytes(), bytes, b"\0"].concat());
        let notice = abi::NotifyInvalInodeOut { ino: dir.0, off: 0, len: 0 };
        let header = OutHeader::before(size_of_val(&notice), abi::NOTIFY_INVAL_INODE, 0);
        let _ = self.device.send(&header.with(&notice));
    }

    /// Removes set-id bits before the content or the owner of a file changes. The kernel is told to ask for the
    /// attributes again, because not every answer carries them.
    pub(in crate::fuse) fn drop_set_id(&self, id: NodeId, by: &Request<'_>) -> Result<()> {
        if self.union()?.drop_set_id(id, || credentials(by.header.pid))? {
            self.forget_attributes(id);
        }
        Ok(())
    }
}

/// The name of the directory entry that a request is about, if it is about one.
fn name_in(opcode: Opcode, mut request: Request<'_>) -> Option<&OsStr> {
    match opcode {
        Opcode::Lookup | Opcode::Rmdir | Opcode::Symlink | Opcode::Unlink => {}
        Opcode::Create => drop(request.take::<abi::CreateIn>().ok()?),
        Opcode::Link => drop(request.take::<abi::LinkIn>().ok()?),
        Opcode::Mkdir => drop(request.take::<abi::MkdirIn>().ok()?),
        Opcode::Mknod => drop(request.take::<abi::MknodIn>().ok()?),
        Opcode::Rename => drop(request.take::<abi::RenameIn>().ok()?),
        Opcode::Rename2 => drop(request.take::<abi::Rename2In>().ok()?),
        _ => return None,
    }
    request.string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_request_is_logged_with_the_name_that_it_is_about() {
        let name = |opcode, argument: &[u8]| {
            let body = [argument, b"name\0other\0"].concat();
            let len = (size_of::<InHeader>() + body.len()) as u32;
            let header =
                InHeader { len, opcode: 0, unique: 7, nodeid: 5, uid: 0, gid: 0, pid: 9, _extensions: 0, _padding: 0 };
            let message = [header.as_bytes(), &body].concat();
            name_in(opcode, Request::parse(&message).unwrap()).map(OsStr::to_owned)
        };
        for (opcode, argument) in [
            (Opcode::Lookup, 0),
            (Opcode::Unlink, 0),
            (Opcode::Symlink, 0),
            (Opcode::Create, size_of::<abi::CreateIn>()),
            (Opcode::Link, size_of::<abi::LinkIn>()),
            (Opcode::Mkdir, size_of::<abi::MkdirIn>()),
            (Opcode::Mknod, size_of::<abi::MknodIn>()),
            (Opcode::Rename, size_of::<abi::RenameIn>()),
            (Opcode::Rename2, size_of::<abi::Rename2In>()),
        ] {
            assert_eq!(name(opcode, &vec![0; argument]).as_deref(), Some("name".as_ref()), "{opcode:?}");
        }
        assert_eq!(name(Opcode::Getxattr, &[0; 8]), None);
    }
}
