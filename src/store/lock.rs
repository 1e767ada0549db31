//! The locks of the store.
//!
//! Processes that add hold `lock` shared; each writes to a place of its own below `tmp/`. A process that
//! removes holds `lock` exclusively, so that nothing is removed while another process relies on it.
//! `names.lock` is held briefly, while `index.json` or the name of a container changes. A process that takes
//! both takes `lock` first. Readers take no lock: everything that they read was published by a rename.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::error::{Result, io_at};

/// A lock on a file, released when it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// The lock for adding; waits for a process that removes. Calls `alone` first if no other process holds the lock.
    pub(super) fn shared(root: &Path, alone: impl FnOnce() -> Result<()>) -> Result<Lock> {
        let path = root.join("lock");
        let file = open(&path)?;
        match file.try_lock() {
            Ok(()) => alone()?,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(io_at("lock", &path)(error)),
        }
        // Downgrades the lock from exclusive to shared, if `try_lock` got it.
        file.lock_shared().map_err(io_at("lock", &path))?;
        Ok(Lock { _file: file })
    }

    /// The lock for removing; waits for all other holders.
    pub(super) fn exclusive(root: &Path) -> Result<Lock> {
        Lock::take(&root.join("lock"))
    }

    /// The lock for changing names.
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
