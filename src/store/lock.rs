//! Who may change the store now.
//!
//! `lock` is held shared by those who add, each in a place of its own below `tmp/`, and exclusively by
//! who removes: nothing that an adder counts on goes away under it. `names.lock` is held for the moment
//! in which `index.json` or the name of a container changes. Who holds both took `lock` first. Readers
//! take none: all that they see was published by a rename.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::error::{Result, io_at};

/// A lock, given back when dropped, also by a process that is killed.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// For adding; waits while somebody removes. `alone` is called when nobody else is at work.
    pub(super) fn shared(root: &Path, alone: impl FnOnce() -> Result<()>) -> Result<Lock> {
        let path = root.join("lock");
        let file = open(&path)?;
        match file.try_lock() {
            Ok(()) => alone()?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(io_at("lock", &path)(error)),
        }
        // From exclusive to shared when it was alone.
        file.lock_shared().map_err(io_at("lock", &path))?;
        Ok(Lock { _file: file })
    }

    /// For removing; waits for everybody else.
    pub(super) fn exclusive(root: &Path) -> Result<Lock> {
        Lock::take(&root.join("lock"))
    }

    /// For changing names.
    pub(super) fn names(root: &Path) -> Result<Lock> {
        Lock::take(&root.join("names.lock"))
    }

    fn take(path: &Path) -> Result<Lock> {
        let file = open(path)?;
        file.lock().map_err(io_at("lock", path))?;
        Ok(Lock { _file: file })
    }
}

fn open(path: &Path) -> Result<File> {
    File::options().create(true).truncate(false).write(true).open(path).map_err(io_at("open", path))
}
