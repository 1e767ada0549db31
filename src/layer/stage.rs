//! Staged changes: built in the work directory, published by one rename, removed on drop.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::{Dir, Errno, File, Name, NameBuf, OFlags, Rename, Result};

use super::shared_whiteout::Shared;

/// The directory in which changes are built. It is on the file system of the upper directory.
#[derive(Debug)]
pub(super) struct Work {
    dir: Dir,
    next: AtomicU64,
    whiteout: Shared,
}

impl Work {
    /// Empties `work/work`, as the kernel does: anything a crash left there was never published.
    pub(super) fn open(work: &Dir) -> Result<Work> {
        let name = Name::new("work")?;
        work.remove_all(name)?;
        work.make_dir(name, 0o700)?;
        Ok(Work { dir: work.open_dir("work")?, next: AtomicU64::new(0), whiteout: Shared::default() })
    }

    pub(super) fn dir(&self) -> &Dir {
        &self.dir
    }

    fn unused(&self) -> Result<NameBuf> {
        NameBuf::new(format!("#{:x}", self.next.fetch_add(1, Ordering::Relaxed)))
    }

    /// Makes `name` in `dir` a whiteout.
    pub(super) fn whiteout(&self, dir: &Dir, name: Name<'_>) -> Result<()> {
        self.whiteout.create((&self.dir, || self.unused()), (dir, name))
    }

    /// Builds a file or directory with `make`, which gets the directory and an unused name.
    pub(super) fn stage<T>(&self, make: impl FnOnce(&Dir, Name<'_>) -> Result<T>) -> Result<(Staged<'_>, T)> {
        let name = self.unused()?;
        // Made before `make` runs, so that its drop removes what a failing `make` leaves.
        let staged = Staged { dir: &self.dir, name, own: None, left: true };
        let made = make(staged.dir, staged.name())?;
        Ok((staged, made))
    }

    /// As [`stage`](Self::stage), inside a new directory that `prepare` sets up like the destination, so that the new
    /// file inherits from it as it would there.
    pub(super) fn stage_inheriting<T>(
        &self,
        prepare: impl FnOnce(&Dir, Name<'_>) -> Result<()>,
        make: impl FnOnce(&Dir, Name<'_>) -> Result<T>,
    ) -> Result<(Staged<'_>, T)> {
        let (mut staged, own) = self.stage(|dir, name| {
            dir.make_dir(name, 0o700)?;
            prepare(dir, name)?;
            dir.open_dir(name.as_os_str())
        })?;
        let made = make(&own, staged.name())?;
        staged.own = Some(own);
        Ok((staged, made))
    }
}

/// A file or directory that is built but not yet published. Dropping this removes it.
#[derive(Debug)]
pub struct Staged<'a> {
    dir: &'a Dir,
    name: NameBuf,
    /// The separate directory in which it lies under the same name, if it has one.
    own: Option<Dir>,
    /// Whether the work directory still holds something under the name.
    left: bool,
}

impl Staged<'_> {
    /// The directory in which it lies until it is published.
    pub fn dir(&self) -> &Dir {
        self.own.as_ref().unwrap_or(self.dir)
    }

    /// Its name in the work directory.
    pub fn name(&self) -> Name<'_> {
        self.name.as_name()
    }

    /// Moves it to `name` in `to`; `how` says whether an existing entry is replaced.
    ///
    /// # Errors
    /// As `renameat2(2)`; the staged file is then removed.
    pub fn publish(mut self, to: &Dir, name: Name<'_>, how: Rename) -> Result<()> {
        self.dir().rename(self.name(), to, name, how)?;
        // After an exchange the work directory holds the replaced entry, and the drop removes it.
        self.left = how == Rename::Exchange || self.own.is_some();
        Ok(())
    }

    /// Exchanges it with `name` in `to`. A second exchange undoes the first. Dropping removes whatever is staged then.
    ///
    /// # Errors
    /// As `renameat2(2)`.
    pub fn exchange(&self, to: &Dir, name: Name<'_>) -> Result<()> {
        self.dir().rename(self.name(), to, name, Rename::Exchange)
    }

    /// Replaces the directory `old`, which holds nothing but the whiteouts `holds`, and removes both.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn replace_dir(mut self, to: &Dir, name: Name<'_>, (old, holds): (&Dir, &[NameBuf])) -> Result<()> {
        self.dir().rename(self.name(), to, name, Rename::Exchange)?;
        self.empty(old, holds);
        Ok(())
    }

    /// Removes a directory that was moved here. If that fails, the drop tries again.
    pub(super) fn empty(&mut self, dir: &Dir, holds: &[NameBuf]) {
        let emptied = holds.iter().try_for_each(|name| dir.remove_file(name.as_name()));
        self.left = emptied.and_then(|()| self.dir.remove_dir(self.name.as_name())).is_err() || self.own.is_some();
    }

    /// Opens the staged file.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open(&self, flags: OFlags) -> Result<File> {
        self.dir().open_file(self.name().as_os_str(), flags, 0)
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if !self.left {
            return;
        }
        match self.dir.remove_all(self.name.as_name()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => tracing::warn!(name = ?self.name, %error, "left in the work directory"),
        }
    }
}
