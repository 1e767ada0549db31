//! Staged changes: built in the work directory, published by one rename, removed on drop.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::{Dir, Errno, File, Name, NameBuf, OFlags, Rename, Result};

use super::shared_whiteout::Shared;

/// The directory in which changes are built; on the file system of the upper directory.
#[derive(Debug)]
pub(super) struct Work {
    dir: Dir,
    next: AtomicU64,
    whiteout: Shared,
}

impl Work {
    /// Empties `work/work`, as the kernel does: what a crash left there was never published.
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

    /// Builds something under a name of its own with `make`, which gets the directory and the name.
    pub(super) fn stage<T>(&self, make: impl FnOnce(&Dir, Name<'_>) -> Result<T>) -> Result<(Staged<'_>, T)> {
        let name = self.unused()?;
        // The guard comes first, so that what a failing `make` leaves is removed.
        let staged = Staged { dir: &self.dir, name, own: None, left: true };
        let made = make(staged.dir, staged.name())?;
        Ok((staged, made))
    }

    /// As [`stage`](Self::stage), in a directory of its own that `prepare` makes like the destination, so
    /// that what is made in it inherits as it would there.
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

/// Something built but not yet published. Dropping it removes it.
#[derive(Debug)]
pub struct Staged<'a> {
    dir: &'a Dir,
    name: NameBuf,
    /// The directory of its own in which the thing lies under the same name.
    own: Option<Dir>,
    /// Whether the work directory still holds something under the name.
    left: bool,
}

impl Staged<'_> {
    /// Where it lies until it is published.
    pub fn dir(&self) -> &Dir {
        self.own.as_ref().unwrap_or(self.dir)
    }

    pub fn name(&self) -> Name<'_> {
        self.name.as_name()
    }

    /// Moves it to `to`, where nothing or something of a kind that rename replaces may stand.
    ///
    /// # Errors
    /// As `renameat2(2)`; the staged thing is removed then.
    pub fn publish(mut self, to: &Dir, name: Name<'_>, how: Rename) -> Result<()> {
        self.dir().rename(self.name(), to, name, how)?;
        // After an exchange the name here holds what was replaced, and dropping removes that.
        self.left = how == Rename::Exchange || self.own.is_some();
        Ok(())
    }

    /// Changes places with what is at `to`. A second time undoes the first; dropping removes what is here then.
    ///
    /// # Errors
    /// As `renameat2(2)`.
    pub fn exchange(&self, to: &Dir, name: Name<'_>) -> Result<()> {
        self.dir().rename(self.name(), to, name, Rename::Exchange)
    }

    /// Puts it in the place of the directory `old`, which holds the whiteouts `holds` and nothing else. They are
    /// removed with it.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn replace_dir(mut self, to: &Dir, name: Name<'_>, (old, holds): (&Dir, &[NameBuf])) -> Result<()> {
        self.dir().rename(self.name(), to, name, Rename::Exchange)?;
        self.empty(old, holds);
        Ok(())
    }

    /// Removes a directory that was moved here. What is not removed by this is when the guard is dropped.
    pub(super) fn empty(&mut self, dir: &Dir, holds: &[NameBuf]) {
        let emptied = holds.iter().try_for_each(|name| dir.remove_file(name.as_name()));
        self.left = emptied.and_then(|()| self.dir.remove_dir(self.name.as_name())).is_err() || self.own.is_some();
    }

    /// Opens what is staged.
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
