//! One file or directory of a layer, to be read: attributes, extended attributes, content, target of a link.
//!
//! This is the one door to what lower files hold. A directory of the host is all that is behind it now.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use crate::sys::xattr::{self, Of};
use crate::sys::{self, Errno, File, FileHandle, NameBuf, OFlags, Result, Stat, Timestamp};

use super::lower::OpenLowerDir;
use super::marks::visible_xattrs;
use super::{LayerDir, Owners, Policy};

/// See the module. Nothing can be changed through it.
#[derive(Clone, Debug)]
pub struct LayerEntry {
    dir: OpenDir,
    /// In `dir`; none for the directory itself.
    name: Option<NameBuf>,
}

#[derive(Clone, Debug)]
enum OpenDir {
    Upper(Arc<LayerDir>),
    Lower(Arc<OpenLowerDir>),
}

impl LayerEntry {
    /// The entry `name` of a directory of the upper layer, or of one beside it, or the directory itself.
    pub fn of_upper(dir: Arc<LayerDir>, name: Option<NameBuf>) -> LayerEntry {
        LayerEntry { dir: OpenDir::Upper(dir), name }
    }

    /// The entry `name` of a directory of a lower layer, or the directory itself.
    pub fn of_lower(dir: Arc<OpenLowerDir>, name: Option<NameBuf>) -> LayerEntry {
        LayerEntry { dir: OpenDir::Lower(dir), name }
    }

    fn dir(&self) -> &LayerDir {
        match &self.dir {
            OpenDir::Upper(dir) => dir,
            OpenDir::Lower(dir) => dir.dir(),
        }
    }

    fn of(&self) -> Of<'_> {
        match &self.name {
            Some(name) => Of::Name(self.dir(), name.as_name()),
            None => Of::Dir(self.dir()),
        }
    }

    /// # Errors
    /// As `fstatat(2)`.
    pub fn stat(&self) -> Result<Stat> {
        match &self.name {
            Some(name) => self.dir().stat(name.as_name()),
            None => self.dir().stat_self(),
        }
    }

    /// When it was made, where its file system knows.
    ///
    /// # Errors
    /// As `statx(2)`.
    pub fn birth_time(&self) -> Result<Option<Timestamp>> {
        sys::birth_time(self.of())
    }

    /// What users see of it; `stat` is what the kernel says.
    ///
    /// # Errors
    /// As `getxattr(2)`.
    pub fn shown(&self, owners: Owners, stat: Stat) -> Result<Stat> {
        owners.stat(self.of(), stat)
    }

    /// Opens the content of a file for reading; the time of the last access stays as it is where this process may have
    /// that.
    ///
    /// # Errors
    /// As `open(2)`; `EISDIR` for a directory.
    pub fn open(&self) -> Result<File> {
        let name = self.name.as_ref().ok_or(Errno::ISDIR)?;
        self.dir().open_file_quietly(name.as_os_str(), OFlags::RDONLY)
    }

    /// Opens a directory to ask for its inode flags.
    ///
    /// # Errors
    /// As `open(2)`; `ENOTDIR` for what is none.
    pub fn open_directory(&self) -> Result<File> {
        let path = self.name.as_ref().map_or(OsStr::new("."), NameBuf::as_os_str);
        self.dir().open_file(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)
    }

    /// Target of the symbolic link that this is.
    ///
    /// # Errors
    /// As `readlinkat(2)`.
    pub fn read_link(&self) -> Result<OsString> {
        self.dir().read_link(self.name.as_ref().ok_or(Errno::INVAL)?.as_name())
    }

    /// The attribute called `key` on disk, or `None`.
    ///
    /// # Errors
    /// As [`xattr::get`].
    pub fn xattr(&self, key: &OsStr) -> Result<Option<Vec<u8>>> {
        xattr::get(self.of(), key)
    }

    /// # Errors
    /// As `getxattr(2)`.
    pub fn xattr_strict(&self, key: &OsStr) -> Result<Vec<u8>> {
        xattr::get_strict(self.of(), key)
    }

    /// All attributes that it has on disk.
    ///
    /// # Errors
    /// As `listxattr(2)`.
    pub fn xattrs(&self) -> Result<Vec<OsString>> {
        xattr::list(self.of())
    }

    /// The attributes of its own, as they are called on disk.
    ///
    /// # Errors
    /// As `listxattr(2)`.
    pub fn own_xattrs(&self, policy: Policy) -> Result<Vec<OsString>> {
        policy.own_xattrs(self.of())
    }

    /// The attributes that go with it into an archive.
    ///
    /// # Errors
    /// As `listxattr(2)`.
    pub fn visible_xattrs(&self) -> Result<Vec<OsString>> {
        visible_xattrs(self.of())
    }

    /// By what the kernel finds the file again; `None` where there is no such thing.
    pub fn handle(&self) -> Option<FileHandle> {
        sys::file_handle(self.dir(), self.name.as_ref()?.as_name()).ok()
    }
}
