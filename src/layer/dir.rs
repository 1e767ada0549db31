//! An open directory of one layer: looks up and lists names, whatever format its whiteouts and marks have.

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::sys::xattr::Of;
use crate::sys::{Dir, DirEntry, Errno, Kind, Name, Result, Stat};

use super::marks::{Mark, Marks, Namespace};
use super::whiteout::{self, Foreign, Listed};
use super::{Found, Verdict, decode};

/// The root of a layer, or a directory in it.
#[derive(Debug)]
pub struct LayerDir {
    dir: Dir,
    /// The namespace whose marks count.
    namespace: Namespace,
    foreign: Foreign,
    /// Whether files of the layer may stand for devices ([`Mark::Device`]).
    devices: Arc<AtomicBool>,
    /// Nothing changes the layer while this value exists.
    constant: bool,
    /// Sorted hashes of all names, once a constant directory was read as a whole: a name whose hash is missing needs no
    /// system call.
    names: OnceLock<Box<[u32]>>,
}

impl Deref for LayerDir {
    type Target = Dir;
    fn deref(&self) -> &Dir {
        &self.dir
    }
}

impl AsFd for LayerDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl LayerDir {
    /// The root of a layer.
    ///
    /// # Errors
    /// As `getxattr(2)`.
    pub fn new(dir: Dir, namespace: Namespace) -> Result<LayerDir> {
        let devices = Arc::new(AtomicBool::new(namespace.has(Of::Dir(&dir), Mark::Devices)?));
        Ok(LayerDir::with(dir, namespace, devices))
    }

    fn with(dir: Dir, namespace: Namespace, devices: Arc<AtomicBool>) -> LayerDir {
        let (foreign, names) = (Foreign::default(), OnceLock::new());
        LayerDir { dir, namespace, foreign, devices, constant: false, names }
    }

    /// The same, of a layer that nobody changes.
    pub fn constant(self) -> LayerDir {
        LayerDir { constant: true, ..self }
    }

    /// The same, of a directory that holds nothing of other formats than the kernel's.
    pub fn adopted(self) -> LayerDir {
        LayerDir { foreign: Foreign::nothing(), ..self }
    }

    /// The root of a layer that has a table of contents, so that its directories are rarely read. Does not read
    /// [`Mark::Devices`], which would cost a system call, but assumes that it is set.
    pub(super) fn of_stored(dir: Dir, namespace: Namespace) -> LayerDir {
        LayerDir::with(dir, namespace, Arc::new(AtomicBool::new(true)))
    }

    /// A directory in which only Overfuse and the kernel make entries.
    pub fn of_kernel(dir: Dir, namespace: Namespace) -> LayerDir {
        LayerDir::with(dir, namespace, Arc::default()).adopted()
    }

    /// The directory at `path` (one component or several, or `.`).
    ///
    /// # Errors
    /// As `openat2(2)`.
    pub fn open_dir(&self, path: impl AsRef<Path>) -> Result<LayerDir> {
        let dir = self.dir.open_dir(path)?;
        let opened = LayerDir::with(dir, self.namespace, self.devices.clone());
        Ok(LayerDir { constant: self.constant, ..opened })
    }

    /// What the layer says of `name` in this directory.
    ///
    /// # Errors
    /// As `fstatat(2)` except `ENOENT`, and as `listxattr(2)`; `EINVAL` for a malformed redirect.
    pub fn lookup(&self, name: Name<'_>) -> Result<Verdict> {
        self.with_opaque_by_file(name, self.lookup_over_nothing(name)?)
    }

    /// The attributes of `name` as the kernel has them, not decoded; `None` if there is no such name.
    ///
    /// # Errors
    /// As `fstatat(2)` except `ENOENT`.
    pub fn lookup_stat(&self, name: Name<'_>) -> Result<Option<Stat>> {
        match self.dir.stat(name) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// As [`lookup`](Self::lookup), when [`lookup_stat`](Self::lookup_stat) has already returned `found`.
    /// `over_nothing` means that no layer below has this directory.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn lookup_found(&self, name: Name<'_>, found: Option<Stat>, over_nothing: bool) -> Result<Verdict> {
        let verdict = self.decode_found(name, found)?;
        if over_nothing { Ok(verdict) } else { self.with_opaque_by_file(name, verdict) }
    }

    fn with_opaque_by_file(&self, name: Name<'_>, verdict: Verdict) -> Result<Verdict> {
        match verdict {
            Verdict::Entry(found) if found.is_dir() && !found.opaque => {
                let opaque = self.hides(name)? || whiteout::is_opaque_by_file(&self.dir, self.namespace, Some(name))?;
                Ok(Verdict::Entry(Found { opaque, ..found }))
            }
            other => Ok(other),
        }
    }

    /// As [`lookup`](Self::lookup), when no layer below has this directory: skips the search for `.wh.` files that make
    /// a found directory opaque.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn lookup_over_nothing(&self, name: Name<'_>) -> Result<Verdict> {
        if self.names.get().is_some_and(|names| names.binary_search(&hash(name)).is_err()) {
            return self.missing(name);
        }
        self.decode_found(name, self.lookup_stat(name)?)
    }

    /// As [`lookup`](Self::lookup), when no layer below has a directory of this name: searches for `.wh.` files that
    /// make a found directory opaque only if the directory is redirected.
    ///
    /// # Errors
    /// As [`lookup`](Self::lookup).
    pub fn lookup_last(&self, name: Name<'_>) -> Result<Verdict> {
        match self.lookup_over_nothing(name)? {
            verdict @ Verdict::Entry(Found { redirect: Some(_), .. }) => self.with_opaque_by_file(name, verdict),
            verdict => Ok(verdict),
        }
    }

    fn decode_found(&self, name: Name<'_>, found: Option<Stat>) -> Result<Verdict> {
        let found = match decode(&self.dir, name, found, self.namespace)? {
            Verdict::Nothing => return self.missing(name),
            Verdict::Whiteout => return Ok(Verdict::Whiteout),
            Verdict::Entry(found) => found,
        };
        let kind = found.stat.kind;
        if whiteout::is_private(&self.dir, self.namespace, name, kind)? {
            return self.missing(name);
        }
        let is_whiteout =
            kind == Kind::Regular && found.stat.size == 0 && self.foreign.is_marked(&self.dir, self.namespace, name)?;
        if is_whiteout {
            return Ok(Verdict::Whiteout);
        }
        Ok(Verdict::Entry(found))
    }

    /// The verdict on a name that the directory does not have, or whose file is private to another union file system.
    fn missing(&self, name: Name<'_>) -> Result<Verdict> {
        Ok(if self.hides(name)? { Verdict::Whiteout } else { Verdict::Nothing })
    }

    fn hides(&self, name: Name<'_>) -> Result<bool> {
        let list = || self.note(self.dir.entries_quietly()?);
        self.foreign.hides((&self.dir, self.namespace), name, list)
    }

    /// Remembers the names of a constant directory.
    fn note(&self, entries: Vec<DirEntry>) -> Result<Vec<DirEntry>> {
        if self.constant {
            self.names.get_or_init(|| {
                let mut names: Box<[u32]> = entries.iter().map(|entry| hash(entry.name.as_name())).collect();
                names.sort_unstable();
                names
            });
        }
        Ok(entries)
    }

    /// The entries that the layer has here, and the names that it says are gone.
    ///
    /// # Errors
    /// As `getdents(2)`, `fstatat(2)` and `listxattr(2)`.
    pub fn list(&self) -> Result<Listed> {
        self.decode(self.note(self.dir.entries()?)?)
    }

    /// As [`list`](Self::list), but does not change the directory's access time if this process may avoid that.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn list_quietly(&self) -> Result<Listed> {
        self.decode(self.note(self.dir.entries_quietly()?)?)
    }

    fn decode(&self, entries: Vec<DirEntry>) -> Result<Listed> {
        self.foreign.list(&self.dir, self.namespace, entries, self.devices.load(Ordering::Relaxed))
    }

    /// For the root of a layer: marks it, because from now on files of the layer may stand for devices.
    ///
    /// # Errors
    /// As `setxattr(2)`.
    pub(super) fn announce_devices(&self) -> Result<()> {
        if !self.devices.swap(true, Ordering::Relaxed) {
            let noted = self.namespace.set(Of::Dir(&self.dir), Mark::Devices, b"y");
            noted.inspect_err(|_| self.devices.store(false, Ordering::Relaxed))?;
        }
        Ok(())
    }

    /// The directory's own marks.
    ///
    /// # Errors
    /// As `listxattr(2)` and `getxattr(2)`.
    pub fn marks(&self) -> Result<Marks> {
        Marks::read(Of::Dir(&self.dir), self.namespace)
    }

    /// Whether the directory hides what is below it.
    ///
    /// # Errors
    /// As [`marks`](Self::marks), and as `fstatat(2)`.
    pub fn is_opaque(&self) -> Result<bool> {
        Ok(self.marks()?.is_opaque() || whiteout::is_opaque_by_file(&self.dir, self.namespace, None)?)
    }

    /// Whether the directory is known to hold nothing in another format than the kernel's.
    pub fn is_adopted(&self) -> bool {
        self.foreign.is_adopted()
    }

    /// Converts whiteouts of other formats into the kernel's, so that entries can replace them. No other thread may
    /// look up names in this directory meanwhile.
    ///
    /// # Errors
    /// As `mknodat(2)`, `setxattr(2)` and `unlinkat(2)`.
    pub fn adopt(&self) -> Result<()> {
        self.foreign.adopt(&self.dir, self.namespace)
    }
}

/// A collision costs one needless system call.
fn hash(name: Name<'_>) -> u32 {
    let mut hasher = std::hash::DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::fs;

    const NAMES: [&str; 12] = [
        "a",
        "b",
        ".wh.a",
        ".wh.b",
        ".wh..wh.a",
        ".wh..wh..opq",
        ".wh..wh.aufs",
        ".wh..wh.plnk",
        ".wh.",
        "c",
        "d",
        ".wh",
    ];

    /// Makes nothing, an empty file, a file with content, a directory, a link or an empty file that is marked.
    fn make(dir: &LayerDir, at: &std::path::Path, name: &str, kind: u8) {
        let path = at.join(name);
        match kind {
            0 => {}
            1 => fs::write(path, "").unwrap(),
            2 => fs::write(path, "x").unwrap(),
            3 => fs::create_dir(path).unwrap(),
            4 => std::os::unix::fs::symlink("x", path).unwrap(),
            _ => {
                fs::write(path, "").unwrap();
                let mark = if kind == 5 { Mark::Plain } else { Mark::Whiteout };
                dir.namespace.set(Of::Name(dir, Name::new(name).unwrap()), mark, b"y").unwrap();
            }
        }
    }

    /// By lookup, for each of `NAMES`: nothing (`None`), a whiteout (`false`) or an entry (`true`).
    fn looked_up(dir: &LayerDir) -> Vec<Option<bool>> {
        let one = |name: &&str| match dir.lookup(Name::new(name).unwrap()).unwrap() {
            Verdict::Nothing => None,
            Verdict::Whiteout => Some(false),
            Verdict::Entry(_) => Some(true),
        };
        NAMES.iter().map(one).collect()
    }

    /// The same by listing.
    fn listed(dir: &LayerDir) -> Vec<Option<bool>> {
        let listed = dir.list().unwrap();
        let entries: BTreeSet<_> = listed.entries.iter().map(|entry| entry.name.clone()).collect();
        let one = |name: &&str| {
            let name = Name::new(name).unwrap().to_owned();
            if entries.contains(&name) { Some(true) } else { listed.gone.contains(&name).then_some(false) }
        };
        NAMES.iter().map(one).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn lookup_and_listing_say_the_same_before_and_after_each_other(
            kinds in prop::collection::vec(0u8..7, NAMES.len()),
            announced in any::<bool>(),
        ) {
            let scratch = tempfile::tempdir().unwrap();
            let namespace = Namespace::of_this_process();
            let open = || LayerDir::new(Dir::open_host(scratch.path()).unwrap(), namespace).unwrap();
            let dir = open();
            if announced {
                namespace.set(Of::fd(&dir), Mark::Opaque, b"x").unwrap();
            }
            for (name, kind) in NAMES.iter().zip(&kinds) {
                make(&dir, scratch.path(), name, *kind);
            }
            let by_lookup = looked_up(&open());
            let by_listing = listed(&open());
            prop_assert_eq!(&by_lookup, &by_listing);
            let dir = open();
            prop_assert_eq!(&looked_up(&dir), &by_lookup);
            prop_assert_eq!(&looked_up(&dir), &by_lookup);
            prop_assert_eq!(&listed(&dir), &by_lookup);
            prop_assert_eq!(&looked_up(&dir), &by_lookup);
            let dir = open().constant();
            for _ in 0..2 {
                prop_assert_eq!(&looked_up(&dir), &by_lookup);
                prop_assert_eq!(&listed(&dir), &by_lookup);
            }
        }

        #[test]
        fn what_is_put_into_the_kernels_format_says_the_same(kinds in prop::collection::vec(0u8..7, NAMES.len())) {
            let scratch = tempfile::tempdir().unwrap();
            let namespace = Namespace::of_this_process();
            let open = || LayerDir::new(Dir::open_host(scratch.path()).unwrap(), namespace).unwrap();
            for (name, kind) in NAMES.iter().zip(&kinds) {
                make(&open(), scratch.path(), name, *kind);
            }
            let (opaque, before) = (open().is_opaque().unwrap(), looked_up(&open()));
            let dir = open();
            dir.adopt().unwrap();
            for dir in [&dir, &open()] {
                prop_assert_eq!(dir.is_opaque().unwrap(), opaque);
                let hidden = |all: Vec<Option<bool>>| -> Vec<_> { all.into_iter().map(|one| one.unwrap_or(!opaque)).collect() };
                // In an opaque directory a whiteout makes no difference.
                let said = |all: &[Option<bool>]| match opaque {
                    true => hidden(all.to_vec()),
                    false => all.iter().map(|one| *one == Some(true)).collect(),
                };
                prop_assert_eq!(said(&looked_up(dir)), said(&before));
                if !opaque {
                    prop_assert_eq!(&looked_up(dir), &before);
                }
            }
        }
    }
}
