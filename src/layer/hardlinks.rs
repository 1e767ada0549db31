//! The hardlink index: keeps all names of a lower file with several hard links names of one file after its copy-up.
//!
//! Uses the kernel's format (`index=on`). The directory `index` in the work directory holds one hard link to each such
//! copy, named by the file handle of the original. A lookup of a name that only a lower layer has finds the copy
//! through it. The mark `nlink` holds the difference between the number of names that the union shows and the link
//! count of the copy.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::sys::xattr::Of;
use crate::sys::{Dir, Errno, Name, NameBuf, PathFd, Rename, Result};

use super::marks::{Mark, Marks, Namespace};
use super::{LayerDir, Origin, Staged};

/// Where the index is in the work directory.
pub const DIRECTORY: &str = "index";

/// One file of the index.
#[derive(Debug)]
pub struct Indexed {
    /// The name in the index directory.
    pub name: NameBuf,
    /// The file's number in the union.
    pub number: u64,
    /// The inode of the copy.
    pub ino: u64,
    /// Number of names that the union shows, minus the link count of the copy.
    hidden: Mutex<i64>,
}

/// A file of the index that is about to lose a name.
#[derive(Debug)]
pub struct Leaving {
    indexed: Arc<Indexed>,
    dir: Arc<LayerDir>,
    file: PathFd,
}

/// The index of one upper layer.
#[derive(Debug)]
pub struct HardlinkIndex {
    /// The work directory; `index` in it is made when it is first needed.
    work: Dir,
    namespace: Namespace,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    dir: Option<Arc<LayerDir>>,
    by_number: HashMap<u64, Arc<Indexed>>,
    by_ino: HashMap<u64, Arc<Indexed>>,
}

impl Indexed {
    /// For callers that only read. `number` and `hidden` are not known and are 0.
    pub(super) fn by_name(name: NameBuf, ino: u64) -> Indexed {
        Indexed { name, number: 0, ino, hidden: Mutex::new(0) }
    }

    /// Number of names that the union shows, minus the link count of the copy.
    pub fn hidden(&self) -> i64 {
        *self.hidden.lock()
    }

    /// How many names the union shows if the copy has the link count `links`.
    pub fn links(&self, links: u32) -> u32 {
        u32::try_from(i64::from(links) + self.hidden()).unwrap_or(0)
    }
}

impl HardlinkIndex {
    /// Reads the index in `work`. `number_of` maps an origin to the file's number in the union.
    ///
    /// # Errors
    /// As `getdents64(2)` and `getxattr(2)`.
    pub(super) fn open(
        work: Dir,
        namespace: Namespace,
        number_of: impl Fn(Origin) -> Option<u64>,
    ) -> Result<HardlinkIndex> {
        let mut state = State::default();
        match work.open_dir(DIRECTORY) {
            Err(Errno::NOENT) => {}
            dir => {
                let dir = dir?;
                for entry in dir.entries()? {
                    let of = Of::Name(&dir, entry.name.as_name());
                    let marks = Marks::read(of, namespace)?;
                    let named = || entry.name.as_os_str().to_str().and_then(Origin::of_index_name);
                    let origin = marks.get(Mark::Origin).and_then(Origin::decode).or_else(named);
                    // Skips entries of another stack and entries that cannot be decoded.
                    let Some(number) = origin.and_then(&number_of) else { continue };
                    let links = dir.stat(entry.name.as_name())?.nlink;
                    let hidden = marks.hidden_links().unwrap_or(-1);
                    if i64::from(links) + hidden <= 0 {
                        // The last name was removed earlier, but removing the index entry failed.
                        if marks.hidden_links().is_some()
                            && let Err(error) = dir.remove_file(entry.name.as_name())
                        {
                            tracing::warn!(name = ?entry.name, %error, "a file without names stays in the index");
                        }
                        continue;
                    }
                    state.insert(Indexed { name: entry.name, number, ino: entry.ino, hidden: Mutex::new(hidden) });
                }
                state.dir = Some(Arc::new(LayerDir::of_kernel(dir, namespace)));
            }
        }
        Ok(HardlinkIndex { work, namespace, state: RwLock::new(state) })
    }

    /// The copy of the file with this number in the union.
    pub fn of_number(&self, number: u64) -> Option<Arc<Indexed>> {
        self.state.read().by_number.get(&number).cloned()
    }

    /// The copy with this inode number on the upper layer's file system.
    pub fn of_inode(&self, ino: u64) -> Option<Arc<Indexed>> {
        self.state.read().by_ino.get(&ino).cloned()
    }

    /// The directory that holds the copies; makes it if it is missing.
    ///
    /// # Errors
    /// As `mkdirat(2)`.
    pub fn dir(&self) -> Result<Arc<LayerDir>> {
        if let Some(dir) = &self.state.read().dir {
            return Ok(dir.clone());
        }
        let mut state = self.state.write();
        if let Some(dir) = &state.dir {
            return Ok(dir.clone());
        }
        match self.work.make_dir(Name::new(DIRECTORY)?, 0o700) {
            Err(Errno::EXIST) => {}
            other => other?,
        }
        let dir = Arc::new(LayerDir::of_kernel(self.work.open_dir(DIRECTORY)?, self.namespace));
        state.dir = Some(dir.clone());
        Ok(dir)
    }

    /// Publishes a copy of a file that has `links` names below.
    ///
    /// # Errors
    /// As `setxattr(2)` and `renameat2(2)`.
    pub fn publish(&self, staged: Staged<'_>, name: &str, number: u64, links: u32) -> Result<Arc<Indexed>> {
        let dir = self.dir()?;
        let name = NameBuf::new(name)?;
        let hidden = i64::from(links) - 1;
        self.write_links(Of::Name(staged.dir(), staged.name()), hidden)?;
        let ino = staged.dir().stat(staged.name())?.ino;
        // An entry already there was skipped when the index was read, so it is stale.
        staged.publish(&dir, name.as_name(), Rename::Replace)?;
        let indexed = Indexed { name, number, ino, hidden: Mutex::new(hidden) };
        Ok(self.state.write().insert(indexed))
    }

    /// Links the copy as `name` in `upper`. The union already showed this name, from a lower layer.
    ///
    /// # Errors
    /// As `linkat(2)`.
    pub fn link_up(&self, indexed: &Indexed, upper: &Dir, name: Name<'_>) -> Result<()> {
        let dir = self.dir()?;
        let mut hidden = indexed.hidden.lock();
        upper.link_from(&dir, indexed.name.as_name(), name)?;
        *hidden -= 1;
        // Linking comes first, so that a crash or an error leaves a count that is too high, never too low.
        if let Err(error) = self.write_links(Of::Name(&dir, indexed.name.as_name()), *hidden) {
            tracing::warn!(name = ?indexed.name, %error, "the count of names in the index is too high");
        }
        Ok(())
    }

    /// Prepares the removal of one name: does everything that can fail.
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn leaving(&self, indexed: &Arc<Indexed>) -> Result<Leaving> {
        let dir = self.dir()?;
        let file = dir.open_path(indexed.name.as_os_str())?;
        Ok(Leaving { indexed: indexed.clone(), dir, file })
    }

    /// Updates the count after one name was removed; `hidden` means that only lower layers had that name. Returns the
    /// file when no name is left, and then removes it from the index.
    ///
    /// The name is already gone, so this never fails. If the count cannot be written, it is one too high for the next
    /// mount, which then keeps the file longer than needed but loses nothing.
    pub fn unlinked(&self, leaving: Leaving, hidden: bool) -> Option<PathFd> {
        let Leaving { indexed, dir, file } = leaving;
        let name = indexed.name.as_name();
        let mut count = indexed.hidden.lock();
        if hidden {
            *count -= 1;
            if let Err(error) = self.write_links(Of::Name(&dir, name), *count) {
                tracing::warn!(?name, %error, "the count of names in the index is too high");
            }
        }
        let links = match file.stat() {
            Ok(stat) => stat.nlink,
            Err(error) => {
                tracing::warn!(?name, %error, "cannot tell whether a file of the index has names");
                return None;
            }
        };
        if i64::from(links) + *count > 0 {
            return None;
        }
        if let Err(error) = dir.remove_file(name) {
            tracing::warn!(?name, %error, "a file without names stays in the index");
        }
        let mut state = self.state.write();
        state.by_number.remove(&indexed.number);
        state.by_ino.remove(&indexed.ino);
        Some(file)
    }

    fn write_links(&self, of: Of<'_>, hidden: i64) -> Result<()> {
        match self.namespace.set(of, Mark::Links, format!("U{hidden:+}").as_bytes()) {
            // Symbolic links, devices and files that their owner may not write take no user.* attribute. Without the
            // mark the next mount derives the count from the copy's own links.
            Err(Errno::PERM | Errno::ACCESS) if self.namespace == Namespace::User => Ok(()),
            other => other,
        }
    }
}

impl State {
    fn insert(&mut self, indexed: Indexed) -> Arc<Indexed> {
        let indexed = Arc::new(indexed);
        self.by_number.insert(indexed.number, indexed.clone());
        self.by_ino.insert(indexed.ino, indexed.clone());
        indexed
    }
}
