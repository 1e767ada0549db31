//! One file or directory of a layer, for reading: attributes, extended attributes, content, target of a link.
//!
//! Lower files are read only through this type. Today every layer is a directory of the host.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use crate::sys::xattr::{self, Of};
use crate::sys::{self, Errno, File, FileHandle, NameBuf, OFlags, Result, Stat, Timestamp};

use super::lower::OpenLowerDir;
use super::marks::visible_xattrs;
use super::{LayerDir, Owners, Policy};

/// One file or directory of a layer. It has no method that changes anything.
#[derive(Clone, Debug)]
pub struct LayerEntry {
    dir: OpenDir,
    /// The name in `dir`; `None` for the directory itself.
    name: Option<NameBuf>,
}

#[derive(Clone, Debug)]
enum OpenDir {
    Upper(Arc<LayerDir>),
    Lower(Arc<OpenLowerDir>),
}

impl LayerEntry {
    /// The entry `name` of a directory of the upper layer or of the index; the directory itself if `name` is `None`.
    pub fn of_upper(dir: Arc<LayerDir>, name: Option<NameBuf>) -> LayerEntry {
        LayerEntry { dir: OpenDir::Upper(dir), name }
    }

    /// The entry `name` of a directory of a lower layer; the directory itself if `name` is `None`.
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

    /// The attributes as the kernel has them.
    ///
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

    /// The attributes that users see; `stat` is what [`stat`](Self::stat) returned.
    ///
    /// # Errors
    /// As `getxattr(2)`.
    pub fn shown(&self, owners: Owners, stat: Stat) -> Result<Stat> {
        owners.stat(self.of(), stat)
    }

    /// Opens the content of a file for reading. Reading does not change the access time if this process may avoid that.
    ///
    /// # Errors
    /// As `open(2)`; `EISDIR` for a directory.
    pub fn open(&self) -> Result<File> {
        let name = self.name.as_ref().ok_or(Errno::ISDIR)?;
        self.dir().open_file_quietly(name.as_os_str(), OFlags::RDONLY)
    }

    /// Opens a directory, to read its inode flags.
    ///
    /// # Errors
    /// As `open(2)`; `ENOTDIR` if it is not a directory.
    pub fn open_directory(&self) -> Result<File> {
        let path = self.name.as_ref().map_or(OsStr::new("."), NameBuf::as_os_str);
        self.dir().open_file(path, OFlags::RDONLY | OFlags::DIRECTORY, 0)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// As `readlinkat(2)`; `EINVAL` for a directory.
    pub fn read_link(&self) -> Result<OsString> {
        self.dir().read_link(self.name.as_ref().ok_or(Errno::INVAL)?.as_name())
    }

    /// The value of the extended attribute called `key` on disk; `None` if there is none.
    ///
    /// # Errors
    /// As [`xattr::get`].
    pub fn xattr(&self, key: &OsStr) -> Result<Option<Vec<u8>>> {
        xattr::get(self.of(), key)
    }

    /// As [`xattr`](Self::xattr), but a missing attribute is an error.
    ///
    /// # Errors
    /// As `getxattr(2)`.
    pub fn xattr_strict(&self, key: &OsStr) -> Result<Vec<u8>> {
        xattr::get_strict(self.of(), key)
    }

    /// The names of all extended attributes on disk.
    ///
    /// # Errors
    /// As `listxattr(2)`.
    pub fn xattrs(&self) -> Result<Vec<OsString>> {
        xattr::list(self.of())
    }

    /// The names on disk of the extended attributes that programs see: all except those private to the layer.
    ///
    /// # Errors
    /// As `listxattr(2)`.
    pub fn own_xattrs(&self, policy: Policy) -> Result<Vec<OsString>> {
        policy.own_xattrs(self.of())
    }

    /// The names of the extended attributes that an archive takes.
    ///
    /// # Errors
    /// As `listxattr(2)`.
    pub fn visible_xattrs(&self) -> Result<Vec<OsString>> {
        visible_xattrs(self.of())
    }

    /// The file handle; `None` for a directory opened without a name, and where the file system has no handles.
    pub fn handle(&self) -> Option<FileHandle> {
        sys::file_handle(self.dir(), self.name.as_ref()?.as_name()).ok()
    }
}
