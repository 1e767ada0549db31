//! Files and directories in `tmp/`, which are removed unless they are published.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use tempfile::NamedTempFile;

use super::Store;
use super::error::{Result, io_at};
use crate::sys::{Dir, Errno, Name, NameBuf};

/// A directory in `tmp/`, removed when it is dropped, whatever the modes of its files are.
#[derive(Debug)]
pub(super) struct ScratchDir {
    tmp: Dir,
    name: NameBuf,
    path: PathBuf,
}

impl Store {
    /// A file in `tmp/` that holds `content`, already synced to the disk.
    pub(super) fn temp_file(&self, content: &[u8]) -> Result<NamedTempFile> {
        let mut file = self.empty_file()?;
        let written = file.write_all(content).and_then(|()| file.as_file().sync_all());
        written.map_err(io_at("write", file.path()))?;
        Ok(file)
    }

    /// An empty file in `tmp/`.
    pub(super) fn empty_file(&self) -> Result<NamedTempFile> {
        let tmp = self.tmp();
        let mut builder = tempfile::Builder::new();
        builder.prefix("").permissions(fs::Permissions::from_mode(0o644));
        builder.tempfile_in(&tmp).map_err(io_at("make a file in", &tmp))
    }

    /// An empty directory in `tmp/`.
    pub(super) fn scratch_dir(&self) -> Result<ScratchDir> {
        let tmp = self.tmp_dir()?;
        let made = tempfile::Builder::new().prefix("").tempdir_in(self.tmp()).map_err(io_at("make", &self.tmp()))?;
        let path = made.keep();
        let name = path.file_name().ok_or(Errno::INVAL).and_then(NameBuf::new).map_err(io_at("name", &path))?;
        Ok(ScratchDir { tmp, name, path })
    }

    /// Empties `tmp/`. No other process may be writing to the store.
    pub(super) fn sweep(&self) -> Result<()> {
        let tmp = self.tmp_dir()?;
        for entry in tmp.entries().map_err(io_at("list", &self.tmp()))? {
            let left = self.tmp().join(entry.name.as_os_str());
            tracing::debug!(path = ?left, "removing what an interrupted command left");
            tmp.remove_all(entry.name.as_name()).map_err(io_at("remove", &left))?;
        }
        Ok(())
    }

    /// Removes the directory `path` of the store: moves it into `tmp/` by one rename, then deletes it there.
    pub(super) fn discard(&self, path: &Path) -> Result<()> {
        let scratch = self.scratch_dir()?;
        fs::rename(path, scratch.path.join("discarded")).map_err(io_at("remove", path))?;
        scratch.remove()
    }
}

impl ScratchDir {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory `name` in it, with mode 755 regardless of the umask.
    pub(super) fn make_dir(&self, name: &str) -> Result<Dir> {
        let path = self.path.join(name);
        let make = || -> Result<Dir, Errno> {
            let name = Name::new(name)?;
            let dir = self.tmp.open_dir(self.name.as_os_str())?;
            dir.make_dir(name, 0o755)?;
            dir.set_perm(name, 0o755)?;
            dir.open_dir(name.as_os_str())
        };
        make().map_err(io_at("make", &path))
    }

    /// Moves the directory to `to`. If `to` exists already, removes this directory and returns `false`.
    pub(super) fn publish(self, to: &Path) -> Result<bool> {
        match fs::rename(&self.path, to) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                Ok(false)
            }
            Err(error) => Err(io_at("make", to)(error)),
        }
    }

    /// Removes the directory, and returns the error if that fails.
    pub(super) fn remove(self) -> Result<()> {
        self.tmp.remove_all(self.name.as_name()).map_err(io_at("remove", &self.path))
    }
}

impl Drop for ScratchDir {
    /// A published directory is no longer here; this is not an error.
    fn drop(&mut self) {
        if let Err(error) = self.tmp.remove_all(self.name.as_name()) {
            tracing::warn!(path = ?self.path, %error, "left behind until the store is next swept");
        }
    }
}
