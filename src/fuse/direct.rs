//! Changes of a live mount that the kernel would refuse to send: owners that the mount's user namespace does not map,
//! and device nodes made by a user who is not root of the host.

use std::sync::{Arc, Weak};

use crate::sys::{Errno, Kind, Name, Result};
use crate::union::{Change, Mode, New, NodeId, Owner};

use super::ops::server::Server;

/// Changes a live mount without the kernel. Does not keep the mount alive: once it has ended, every call fails with
/// `ENOTCONN`.
///
/// A node is named by its inode number. The caller keeps the file open meanwhile, so that the number is not reused. No
/// call may come from a thread that answers requests.
#[derive(Clone, Debug)]
pub struct Direct(Weak<Server>);

/// A device node to make.
#[derive(Clone, Copy, Debug)]
pub struct NewDevice<'a> {
    /// The inode number of its directory.
    pub dir: u64,
    /// Its own name.
    pub name: Name<'a>,
    /// One of the two kinds of device.
    pub kind: Kind,
    /// As `makedev(3)` packs it.
    pub rdev: u64,
    /// User and group.
    pub owner: (u32, u32),
    /// The mode that the program asked for.
    pub perm: u32,
    /// The bits that it does not get, unless the directory has a default ACL.
    pub umask: u32,
}

impl Direct {
    pub(super) fn of(server: Option<&Arc<Server>>) -> Direct {
        Direct(server.map_or_else(Weak::new, Arc::downgrade))
    }

    fn server(&self) -> Result<Arc<Server>> {
        self.0.upgrade().ok_or(Errno::NOTCONN)
    }

    /// Changes the owner of a node, as far as given.
    ///
    /// # Errors
    /// As `chown(2)`.
    pub fn set_owner(&self, node: u64, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let server = self.server()?;
        server.union()?.change(NodeId(node), Change { uid, gid, ..Change::default() })?;
        server.forget_attributes(NodeId(node));
        Ok(())
    }

    /// User and group of a node, even if the mount shows others.
    ///
    /// # Errors
    /// As `stat(2)`.
    pub fn owner(&self, node: u64) -> Result<(u32, u32)> {
        let Owner { uid, gid } = self.server()?.union()?.true_owner(NodeId(node))?;
        Ok((uid, gid))
    }

    /// Makes a device node.
    ///
    /// # Errors
    /// As `mknod(2)`.
    pub fn make_device(&self, device: &NewDevice<'_>) -> Result<()> {
        let &NewDevice { dir, name, kind, rdev, owner: (uid, gid), perm, umask } = device;
        let server = self.server()?;
        let dir = NodeId(dir);
        let new = New::Node { kind, rdev };
        let made = server.union()?.create(Owner { uid, gid }, dir, name, new, Mode { perm, umask })?;
        server.forget(made.id, 1);
        server.forget_name(dir, name);
        server.forget_attributes(dir);
        Ok(())
    }
}
