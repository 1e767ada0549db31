//! Requests about names: lookup, create, remove, rename.

use crate::fuse::wire::abi;
use crate::fuse::wire::answer::Answer;
use crate::fuse::wire::convert::{FOR_EVER, rename_how};
use crate::fuse::wire::request::Request;
use crate::sys::{Kind, Result};
use crate::union::{Mode, New, NodeId, Remove, Slot};

use super::server::Server;

impl Server {
    pub(in crate::fuse) fn lookup(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let dir = request.node();
        match self.union()?.lookup(dir, request.name()?)? {
            Some(attr) => {
                if self.readdir_cache.is_due(dir) {
                    self.readdir_cache.take_away(dir, &self.device);
                }
                to.entry(&attr, self.lifetime(attr.id))
            }
            // Node 0 makes the kernel cache that the name is missing; ENOENT does not.
            None => to.put(&abi::EntryOut { entry_valid: FOR_EVER, ..abi::EntryOut::NOTHING }),
        }
    }

    /// The kernel expects no answer.
    pub(in crate::fuse) fn forget(&self, id: NodeId, count: u64) {
        if let Ok(union) = self.union()
            && union.forget(id, count)
            && let Some(opens) = &self.opens
        {
            opens.forget(id);
        }
    }

    pub(in crate::fuse) fn forget_many(&self, mut request: Request<'_>) -> Result<()> {
        let abi::BatchForgetIn { count, .. } = request.take()?;
        for _ in 0..count {
            let abi::ForgetOne { nodeid, nlookup } = request.take()?;
            self.forget(NodeId(nodeid), nlookup);
        }
        Ok(())
    }

    pub(in crate::fuse) fn mknod(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let abi::MknodIn { mode, rdev, umask, .. } = request.take()?;
        let new = match Kind::of_mode(mode) {
            Kind::Regular => New::File,
            kind => New::Node { kind, rdev: rdev.into() },
        };
        self.make(request, new, Mode { perm: mode & 0o7777, umask }, to)
    }

    pub(in crate::fuse) fn mkdir(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let abi::MkdirIn { mode, umask } = request.take()?;
        self.make(request, New::Dir, Mode { perm: mode & 0o7777, umask }, to)
    }

    pub(in crate::fuse) fn symlink(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let at = request;
        // The name comes before the target.
        request.name()?;
        let new = New::Symlink { target: request.string()? };
        self.make(at, new, Mode { perm: 0o777, umask: 0 }, to)
    }

    fn make(&self, mut request: Request<'_>, new: New<'_>, mode: Mode, to: &mut Answer<'_>) -> Result<()> {
        let owner = self.owner(&request)?;
        let attr = self.union()?.create(owner, request.node(), request.name()?, new, mode)?;
        to.entry(&attr, self.lifetime(attr.id))
    }

    pub(in crate::fuse) fn link(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let abi::LinkIn { oldnodeid } = request.take()?;
        let attr = self.union()?.link(NodeId(oldnodeid), request.node(), request.name()?)?;
        to.entry(&attr, self.lifetime(attr.id))
    }

    pub(in crate::fuse) fn remove(&self, mut request: Request<'_>, kind: Remove) -> Result<()> {
        self.union()?.remove(request.node(), request.name()?, kind)
    }

    pub(in crate::fuse) fn rename(&self, mut request: Request<'_>) -> Result<()> {
        let abi::RenameIn { newdir } = request.take()?;
        self.rename_to(request, newdir, 0)
    }

    pub(in crate::fuse) fn rename2(&self, mut request: Request<'_>) -> Result<()> {
        let abi::Rename2In { newdir, flags, .. } = request.take()?;
        self.rename_to(request, newdir, flags)
    }

    fn rename_to(&self, mut request: Request<'_>, newdir: u64, flags: u32) -> Result<()> {
        let from = Slot { dir: request.node(), name: request.name()? };
        let to = Slot { dir: NodeId(newdir), name: request.name()? };
        match rename_how(flags)? {
            (how, false) => self.union()?.rename(from, to, how),
            (how, true) => self.union()?.rename_leaving_whiteout(self.owner(&request)?, from, to, how),
        }
    }
}
