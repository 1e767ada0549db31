//! Inode flags that `chattr` sets and `lsattr` shows; immutable and append-only protect from change.

use std::sync::Arc;

use crate::layer::{Mark, Protection};
use crate::sys::{Errno, ExtendedFlags, File, FileFlags, OFlags, Result};

use super::Union;
use super::content_location::{At, UpperAt};
use super::copy_up::Need;
use super::node::{Node, NodeId};

impl Protection {
    /// `EPERM` if mode, owner, attributes, names and existing content may not change.
    pub(super) fn permits_change(self) -> Result<()> {
        if self.immutable || self.append_only { Err(Errno::PERM) } else { Ok(()) }
    }

    /// `EPERM` if not even new names or content may be added.
    pub(super) fn permits_more(self) -> Result<()> {
        if self.immutable { Err(Errno::PERM) } else { Ok(()) }
    }
}

impl Union {
    /// `EPERM` if a program may not write at `offset`.
    pub(super) fn may_write(&self, node: &Node, offset: u64) -> Result<()> {
        let protection = node.protection();
        protection.permits_more()?;
        if protection.append_only && offset != self.attr_of(node)?.stat.size {
            return Err(Errno::PERM);
        }
        Ok(())
    }

    /// Checks that a program may open a file for writing; `appending` is whether with `O_APPEND`.
    ///
    /// # Errors
    /// `EPERM` for an immutable file, and for an append-only one unless `appending`.
    pub fn may_open_to_write(&self, id: NodeId, appending: bool) -> Result<()> {
        let protection = self.node(id)?.protection();
        protection.permits_more()?;
        if protection.append_only && !appending { Err(Errno::PERM) } else { Ok(()) }
    }

    /// The flags of a file or directory.
    ///
    /// # Errors
    /// As `FS_IOC_GETFLAGS` of `ioctl(2)`; `ENOTTY` if the file system has no flags.
    pub fn flags(&self, id: NodeId) -> Result<FileFlags> {
        let node = self.node(id)?;
        Ok(self.open_for_flags(&node)?.flags()?.with(node.protection().immutable, node.protection().append_only))
    }

    /// Copies up and sets the flags. The caller has checked the user's permission.
    ///
    /// # Errors
    /// As `FS_IOC_SETFLAGS` of `ioctl(2)`.
    pub fn set_flags(&self, id: NodeId, flags: FileFlags) -> Result<()> {
        let protection = Protection { immutable: flags.immutable(), append_only: flags.append_only() };
        self.change_flags(id, protection, &flags.with(false, false), File::flags, |file, flags| file.set_flags(*flags))
    }

    /// As [`flags`](Self::flags), with the project ID and extent size.
    ///
    /// # Errors
    /// As `FS_IOC_FSGETXATTR` of `ioctl(2)`.
    pub fn extended_flags(&self, id: NodeId) -> Result<ExtendedFlags> {
        let node = self.node(id)?;
        let flags = self.open_for_flags(&node)?.extended_flags()?;
        Ok(flags.with(node.protection().immutable, node.protection().append_only))
    }

    /// As [`set_flags`](Self::set_flags), with the project ID and extent size.
    ///
    /// # Errors
    /// As `FS_IOC_FSSETXATTR` of `ioctl(2)`.
    pub fn set_extended_flags(&self, id: NodeId, flags: &ExtendedFlags) -> Result<()> {
        let protection = Protection { immutable: flags.immutable(), append_only: flags.append_only() };
        let flags = flags.with(false, false);
        self.change_flags(id, protection, &flags, File::extended_flags, File::set_extended_flags)
    }

    /// Copies up, sets the flags that the file itself keeps, and marks what protects it.
    fn change_flags<F: PartialEq>(
        &self,
        id: NodeId,
        protection: Protection,
        flags: &F,
        get: impl Fn(&File) -> Result<F>,
        set: impl Fn(&File, &F) -> Result<()>,
    ) -> Result<()> {
        let node = self.node(id)?;
        self.copy_up(&node, Need::Metadata)?;
        let file = self.open_for_flags(&node)?;
        let before = get(&file)?;
        let changes = before != *flags;
        // One step where one is enough.
        if changes || protection == node.protection() {
            set(&file, flags)?;
        }
        self.protect(&node, protection, || if changes { set(&file, &before) } else { Ok(()) })
    }

    /// Writes the mark that protects a node. When that fails, `undo` sets back the flags that were set before it.
    fn protect(&self, node: &Arc<Node>, protection: Protection, undo: impl FnOnce() -> Result<()>) -> Result<()> {
        if protection == node.protection() {
            return Ok(());
        }
        let namespace = self.stack.namespace;
        let marked = self.at_upper(node, |at| match protection.encode() {
            Some(value) => namespace.set(at.of(), Mark::Protection, value),
            None => namespace.clear(at.of(), Mark::Protection),
        });
        marked.inspect_err(|_| {
            if let Err(error) = undo() {
                tracing::error!(id = node.id.0, %error, "flags of a file were set in part");
            }
        })?;
        node.set_protection(protection);
        Ok(())
    }

    fn open_for_flags(&self, node: &Node) -> Result<Arc<File>> {
        if node.is_dir() {
            let (_, upper) = self.read_dir_state(node)?;
            let open = |dir: &crate::sys::Dir| dir.open_file(".", OFlags::RDONLY | OFlags::DIRECTORY, 0).map(Arc::new);
            return match upper {
                Some(upper) => open(&upper),
                None => self.at(node, |at| match at {
                    At::Lower(dir) => dir.open_directory().map(Arc::new),
                    At::Upper(UpperAt::Dir(dir)) => open(dir),
                    At::Upper(_) => Err(Errno::NOTDIR),
                }),
            };
        }
        if node.is_upper() { self.open_upper(node) } else { self.content(node) }
    }
}
