//! Requests about attributes, extended attributes and flags.

use std::os::unix::ffi::OsStrExt;

use crate::fuse::stats;
use crate::fuse::wire::abi;
use crate::fuse::wire::answer::Answer;
use crate::fuse::wire::convert;
use crate::fuse::wire::opcode::Opcode;
use crate::fuse::wire::request::Request;
use crate::sys::{Errno, FlagsRequest, Kind, Result};
use crate::union::{Change, NodeId, Wanted};

use super::server::Server;

impl Server {
    pub(in crate::fuse) fn getattr(&self, request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let attr = self.union()?.attr(request.node())?;
        to.attr(&attr, self.lifetime(attr.id))
    }

    /// Asked instead of GETATTR when a program wants to know when a file was made; the kernel keeps the first answer.
    ///
    /// Neither LOOKUP nor READDIRPLUS tells that time, so programs that always ask for it (all in Rust, all on Node) cost a
    /// request for each file. Refused once, this is never asked again.
    pub(in crate::fuse) fn statx(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        if !self.birth_time {
            return Err(Errno::NOSYS);
        }
        let abi::StatxIn { mask, .. } = request.take()?;
        let (union, node) = (self.union()?, request.node());
        let attr = union.attr(node)?;
        let birth = if mask & abi::statx::BTIME != 0 { union.birth_time(node)? } else { None };
        to.statx(&attr, birth, self.lifetime(attr.id))
    }

    pub(in crate::fuse) fn setattr(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let change = convert::change(&request.take()?, self.ids())?;
        // An empty change is a `chown` that names no owner, or a write that the kernel itself makes to a set-id file.
        if change.size.is_some() || change.changes_owner() || change == Change::default() {
            self.drop_set_id(request.node(), &request)?;
        }
        let attr = self.union()?.change(request.node(), change)?;
        to.attr(&attr, self.lifetime(attr.id))
    }

    /// Comes only when the kernel does not check permissions. Then the mount has one user, who may do what the files on
    /// disk allow.
    pub(in crate::fuse) fn access(&self, mut request: Request<'_>) -> Result<()> {
        const WRITE: u32 = 2;
        const EXECUTE: u32 = 1;
        let abi::AccessIn { mask, .. } = request.take()?;
        let stat = self.union()?.attr(request.node())?.stat;
        if mask & WRITE != 0 && self.union()?.is_read_only() && stat.kind != Kind::CharDevice {
            return Err(Errno::ROFS);
        }
        let runs = stat.kind != Kind::Regular || stat.perm & 0o111 != 0;
        if mask & EXECUTE != 0 && !runs { Err(Errno::ACCESS) } else { Ok(()) }
    }

    pub(in crate::fuse) fn setxattr(&self, mut request: Request<'_>) -> Result<()> {
        let abi::SetxattrIn { size, flags } = request.take()?;
        // XATTR_CREATE and XATTR_REPLACE.
        let wanted = match flags {
            1 => Wanted::Create,
            2 => Wanted::Replace,
            _ => Wanted::Any,
        };
        let key = request.string()?;
        let value = self.ids().xattr_to_inside(key.as_bytes(), request.bytes(size)?)?;
        self.union()?.set_xattr(request.node(), key, &value, wanted)
    }

    pub(in crate::fuse) fn getxattr(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let abi::GetxattrIn { size, .. } = request.take()?;
        let key = request.string()?;
        if request.node() == NodeId::ROOT && key == stats::KEY {
            let counts = serde_json::to_vec(&self.counters.stats(self.rings)).map_err(|_| Errno::IO)?;
            return to.value(&counts, size);
        }
        self.counters.begin(Opcode::Getxattr);
        let value = self.union()?.xattr(request.node(), key)?;
        to.value(&self.ids().xattr_to_outside(key.as_bytes(), &value), size)
    }

    pub(in crate::fuse) fn listxattr(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let abi::GetxattrIn { size, .. } = request.take()?;
        let keys = self.union()?.xattrs(request.node())?;
        let joined: Vec<u8> = keys.iter().flat_map(|key| key.as_bytes().iter().copied().chain([0])).collect();
        to.value(&joined, size)
    }

    pub(in crate::fuse) fn removexattr(&self, mut request: Request<'_>) -> Result<()> {
        self.union()?.remove_xattr(request.node(), request.string()?)
    }

    pub(in crate::fuse) fn ioctl(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let abi::IoctlIn { cmd, in_size, .. } = request.take()?;
        let (union, node) = (self.union()?, request.node());
        let done = abi::IoctlOut { result: 0, flags: 0, in_iovs: 0, out_iovs: 0 };
        match FlagsRequest::decode(cmd, request.bytes(in_size)?).ok_or(Errno::NOTTY)? {
            FlagsRequest::Get => {
                let flags = union.flags(node)?;
                to.put(&done)?;
                to.put(&flags.0)
            }
            FlagsRequest::GetExtended => {
                let flags = union.extended_flags(node)?;
                to.put(&done)?;
                to.bytes(&flags.bytes())
            }
            FlagsRequest::Set(flags) => {
                union.set_flags(node, flags)?;
                to.put(&done)
            }
            FlagsRequest::SetExtended(flags) => {
                union.set_extended_flags(node, &flags)?;
                to.put(&done)
            }
        }
    }
}
