//! Requests to list directories.

use std::os::unix::ffi::OsStrExt;

use crate::fuse::wire::abi;
use crate::fuse::wire::answer::Answer;
use crate::fuse::wire::request::Request;
use crate::sys::Result;
use crate::union::{DIR_BATCH, DirItem, NodeId};

use super::server::Server;

impl Server {
    pub(in crate::fuse) fn readdir(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let abi::ReadIn { offset, size, .. } = request.take()?;
        to.limit(size);
        let dir = request.node();
        let mut names = 0;
        self.list(dir, offset, |item| {
            let room = to.has_room(dirent_size(item));
            names += u32::from(room);
            if room { put_dirent(to, item, item.id.0).map(|()| true) } else { Ok(false) }
        })?;
        self.readdir_cache.listed(dir, names);
        Ok(())
    }

    /// Lists a directory, with a lookup of each entry.
    pub(in crate::fuse) fn readdirplus(&self, mut request: Request<'_>, to: &mut Answer<'_>) -> Result<()> {
        let abi::ReadIn { offset, size, .. } = request.take()?;
        to.limit(size);
        let dir = request.node();
        let known = offset == 0 && self.readdir_cache.begun(dir);
        self.list(dir, offset, |item| {
            if !to.has_room(size_of::<abi::EntryOut>() + dirent_size(item)) {
                return Ok(false);
            }
            if item.entry_name().is_none() {
                // For `.` and `..` the kernel takes no lookup, only number and kind.
                to.put(&abi::EntryOut { nodeid: item.id.0, ..abi::EntryOut::NOTHING })?;
                return put_dirent(to, item, item.id.0).map(|()| true);
            }
            if known && self.union()?.is_known(dir, item) {
                // Node 0: the kernel lists the name without a lookup. It has the attributes of this entry already. If
                // it got them again and a program used them, it would ask for more entries with attributes.
                to.put(&abi::EntryOut::NOTHING)?;
                return put_dirent(to, item, item.id.0).map(|()| true);
            }
            match self.union()?.lookup_listed(dir, item) {
                Ok(Some(attr)) => {
                    to.entry(&attr, self.lifetime(attr.id))?;
                    put_dirent(to, item, attr.id.0)?;
                }
                // Removed since it was listed.
                Ok(None) => {}
                // An entry that cannot be resolved must not end the listing; a lookup of its name reports the error.
                // The kernel lists an entry of impossible size, and caches nothing of it.
                Err(_) => {
                    let nodeid = item.id.0 | 3 << 62;
                    let nothing = abi::EntryOut::NOTHING;
                    let attr = abi::Attr { ino: nodeid, size: u64::MAX, mode: item.kind.mode_bits(), ..nothing.attr };
                    to.put(&abi::EntryOut { nodeid, attr, ..nothing })?;
                    put_dirent(to, item, nodeid)?;
                }
            }
            Ok(true)
        })
    }

    /// Calls `add` with each entry until it returns that there is no room. An error after the first entry ends this
    /// part of the listing: the entries so far are sent, and the error is returned when the reader continues.
    fn list(&self, dir: NodeId, mut offset: u64, mut add: impl FnMut(&DirItem) -> Result<bool>) -> Result<()> {
        let union = self.union()?;
        let mut added = false;
        loop {
            let items = match union.read_dir(dir, offset) {
                Err(_) if added => return Ok(()),
                items => items?,
            };
            for item in &items {
                match add(item) {
                    Err(error) if !added => return Err(error),
                    Ok(true) => (offset, added) = (item.offset, true),
                    Ok(false) | Err(_) => return Ok(()),
                }
            }
            // The directory was read to its end. Another call would build its list again.
            if items.len() < DIR_BATCH {
                return Ok(());
            }
        }
    }
}

/// Entries begin at multiples of eight bytes.
fn dirent_size(item: &DirItem) -> usize {
    (size_of::<abi::Dirent>() + item.name().len()).next_multiple_of(8)
}

fn put_dirent(to: &mut Answer<'_>, item: &DirItem, ino: u64) -> Result<()> {
    let name = item.name().as_bytes();
    // The kind in the encoding of `d_type`.
    let kind = item.kind.mode_bits() >> 12;
    to.put(&abi::Dirent { ino, off: item.offset, namelen: name.len() as u32, kind })?;
    to.bytes(name)?;
    to.bytes(&[0; 7][..dirent_size(item) - size_of::<abi::Dirent>() - name.len()])
}
