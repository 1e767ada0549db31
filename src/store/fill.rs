//! The first content of a volume: what the image has where the volume is mounted.
//!
//! ```text
//!   volumes/<name>/fresh      exists until the volume got its first content
//!   volumes/<name>/filling/   a copy that is being made; what an interrupted one left is removed
//!   volumes/<name>/filled/    a complete copy, whose entries are being moved into data/
//!   volumes/<name>/data/      what containers see
//! ```
//!
//! The copy is complete before its first entry appears in `data/`. The move is one rename for each entry and is
//! finished by the next process that mounts the volume, so an interrupted one is never taken for the whole. An entry
//! that a container made meanwhile stays.

use std::fs::File;
use std::path::Path;

use super::error::{Result, StoreError, io_at};
use super::volumes::{DATA, FRESH, LOCK, Volume};
use crate::sys::{Dir, Errno, Name, Rename, copy};

const FILLING: &str = "filling";
const FILLED: &str = "filled";

impl Volume {
    /// Gives a new volume its first content. `copy` gets an empty directory and makes it like the volume is to be, with
    /// the directory's own owner and mode. It is not called for a volume that has files, or that had its first content.
    ///
    /// Waits for another process that fills the same volume.
    ///
    /// # Errors
    /// The errors of `copy`, after which the volume is as new as before; [`StoreError::Io`].
    pub fn fill<E: From<StoreError>>(&self, copy: impl FnOnce(&Dir) -> Result<(), E>) -> Result<(), E> {
        let (dir, _lock) = self.settled()?;
        let at = |name: &str| self.dir.join(name);
        if !exists(&dir, FRESH).map_err(io_at("look at", &at(FRESH)))? {
            return Ok(());
        }
        let data = dir.open_dir(DATA).and_then(|data| data.entries()).map_err(io_at("list", &at(DATA)))?;
        if !data.is_empty() {
            return Ok(remove(&dir, FRESH).map_err(io_at("remove", &at(FRESH)))?);
        }
        let made = Name::new(FILLING).and_then(|name| dir.make_dir(name, 0o700));
        let to = made.and_then(|()| dir.open_dir(FILLING)).map_err(io_at("make", &at(FILLING)))?;
        if let Err(error) = copy(&to) {
            remove(&dir, FILLING).map_err(io_at("remove", &at(FILLING)))?;
            return Err(error);
        }
        let publish = || {
            dir.sync_filesystem()?;
            dir.rename(Name::new(FILLING)?, &dir, Name::new(FILLED)?, Rename::NoReplace)?;
            self.finish(&dir)
        };
        Ok(publish().map_err(io_at("fill", &at(DATA)))?)
    }

    /// Finishes what an interrupted [`fill`](Self::fill) began to move. To be called before the volume is mounted
    /// without filling it.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn finish_fill(&self) -> Result<()> {
        self.settled().map(drop)
    }

    /// Locks the volume, finishes an interrupted move, and removes what an interrupted copy left.
    fn settled(&self) -> Result<(Dir, File)> {
        let at = |name: &str| self.dir.join(name);
        let path = at(LOCK);
        let lock =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(io_at("open", &path))?;
        lock.lock().map_err(io_at("lock", &path))?;
        let dir = Dir::open_host(&self.dir).map_err(io_at("open", &self.dir))?;
        if exists(&dir, FILLED).map_err(io_at("look at", &at(FILLED)))? {
            self.finish(&dir).map_err(io_at("fill", &at(DATA)))?;
        }
        remove(&dir, FILLING).map_err(io_at("remove", &at(FILLING)))?;
        Ok((dir, lock))
    }

    /// Moves the entries of the complete copy into `data/`, and gives that the copy's attributes.
    fn finish(&self, dir: &Dir) -> Result<(), Errno> {
        let (from, to) = (dir.open_dir(FILLED)?, dir.open_dir(DATA)?);
        for entry in from.entries()? {
            let name = entry.name.as_name();
            match from.rename(name, &to, name, Rename::NoReplace) {
                // A container made it meanwhile.
                Ok(()) | Err(Errno::EXIST) => {}
                other => other?,
            }
        }
        copy::attributes(&from.to_path_fd()?, &to.to_path_fd()?)?;
        remove(dir, FRESH)?;
        remove(dir, FILLED)
    }
}

fn exists(dir: &Dir, name: &str) -> Result<bool, Errno> {
    match dir.open_path(Path::new(name)) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn remove(dir: &Dir, name: &str) -> Result<(), Errno> {
    dir.remove_all(Name::new(name)?)
}
