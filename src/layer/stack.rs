//! The layers of one union, opened and checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::sys::{self, Detached, Dir, Errno, File, FsStat, Name, NameBuf, Rename, Result};

use super::nesting::check_nesting;
use super::stage::{Staged, Work};
use super::{
    Found, HardlinkIndex, LayerDir, Layers, LowerDir, LowerFile, LowerLayer, Namespace, OpenLowerDir, Origin, Owners,
    Part, Policy, RedirectDir, Tables, whiteout,
};

/// The layer that takes every change, with the work directory in which changes are built.
#[derive(Debug)]
pub struct UpperLayer {
    root: LayerDir,
    work: Work,
    /// The work directory given by the user; it holds the directory of `work` and the hardlink index.
    scratch: Dir,
    /// Where the upper layer keeps marks and owners.
    pub policy: Policy,
    /// Locks the work directory for as long as this value lives.
    _lock: File,
}

impl UpperLayer {
    /// The root directory of the layer.
    pub fn root(&self) -> &LayerDir {
        &self.root
    }

    /// Opens the hardlink index. `number_of` maps an origin to the file's number in the union.
    ///
    /// # Errors
    /// As `getdents64(2)` and `getxattr(2)`.
    pub fn index(&self, number_of: impl Fn(Origin) -> Option<u64>) -> Result<HardlinkIndex> {
        HardlinkIndex::open(self.scratch.open_dir(".")?, self.policy.marks, number_of)
    }

    /// Makes a staged file stand for the character device 0/0 with mode `perm`.
    ///
    /// # Errors
    /// As `setxattr(2)` and `chmod(2)`.
    pub fn stand_for_device(&self, dir: &Dir, name: Name<'_>, perm: u32) -> Result<()> {
        self.root.announce_devices()?;
        whiteout::stand_for_device(dir, name, perm, self.policy.marks)
    }

    /// Makes `name` in `dir` a whiteout.
    ///
    /// # Errors
    /// As `linkat(2)` and `mknodat(2)`; `EEXIST` when the name is taken.
    pub fn whiteout(&self, dir: &Dir, name: Name<'_>) -> Result<()> {
        self.work.whiteout(dir, name)
    }

    /// Removes the directory `name` of `dir`, open as `old`, which holds nothing but the whiteouts `holds`. One rename
    /// takes it out of the layer; then it is deleted.
    ///
    /// # Errors
    /// As `renameat2(2)`.
    pub fn discard(&self, (dir, name): (&Dir, Name<'_>), (old, holds): (&Dir, &[NameBuf])) -> Result<()> {
        // Dropping `staged` removes the directory that the rename moved to its name.
        let (mut staged, ()) = self.work.stage(|work, staged| dir.rename(name, work, staged, Rename::NoReplace))?;
        staged.empty(old, holds);
        Ok(())
    }

    /// Builds a file or directory with `make`, which gets the directory and the name to use. Publish it afterwards.
    ///
    /// # Errors
    /// The error of `make`.
    pub fn stage<T>(&self, make: impl FnOnce(&Dir, Name<'_>) -> Result<T>) -> Result<(Staged<'_>, T)> {
        self.work.stage(make)
    }

    /// As [`stage`](Self::stage), inside a new directory that `prepare` sets up like the destination, so that the new
    /// file inherits from it as it would there.
    ///
    /// # Errors
    /// The error of `prepare` or `make`.
    pub fn stage_inheriting<T>(
        &self,
        prepare: impl FnOnce(&Dir, Name<'_>) -> Result<()>,
        make: impl FnOnce(&Dir, Name<'_>) -> Result<T>,
    ) -> Result<(Staged<'_>, T)> {
        self.work.stage_inheriting(prepare, make)
    }
}

/// All layers of a union, newest first.
#[derive(Debug)]
pub struct Stack {
    /// The layer that takes changes; `None` for a read-only stack.
    pub upper: Option<UpperLayer>,
    /// The lower layers, topmost first.
    pub lower: Vec<LowerLayer>,
    /// Below all others: only searched for the data of metadata-only files.
    data_only: Vec<LowerLayer>,
    /// Where owners are kept.
    pub owners: Owners,
    /// The namespace whose marks count.
    pub namespace: Namespace,
    /// Whether redirects are followed and made.
    pub redirects: RedirectDir,
}

/// What to open a stack from.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Topmost first.
    pub lower: &'a [PathBuf],
    /// Layers that only metacopies refer to.
    pub data_only: &'a [PathBuf],
    /// The tables of contents of `lower`.
    pub tables: &'a Tables,
    /// The upper and the work directory.
    pub upper: Option<(&'a Path, &'a Path)>,
    /// Where owners are kept.
    pub owners: Owners,
    /// Use `user.overlay.` for marks even if `trusted.overlay.` could be written.
    pub user_marks: bool,
    /// Whether redirects are followed and made.
    pub redirects: RedirectDir,
    /// Open lower layers through detached mounts on which reading changes no access time. Only the host's root may.
    pub quiet: bool,
}

impl Layers for Stack {
    fn count(&self) -> usize {
        self.lower.len()
    }

    fn data_only(&self) -> usize {
        self.data_only.len()
    }

    fn layer(&self, which: usize) -> Result<&LowerLayer> {
        let found = self.lower.get(which).or_else(|| self.data_only.get(which.checked_sub(self.lower.len())?));
        found.ok_or(Errno::IO)
    }

    fn open(&self, dir: &LowerDir) -> Result<Arc<OpenLowerDir>> {
        dir.open(self).map(Arc::new)
    }

    fn namespace(&self) -> Namespace {
        self.namespace
    }

    fn follows_redirects(&self) -> bool {
        self.redirects != RedirectDir::NoFollow
    }

    /// Always `None`: the user of the stack keeps the hardlink index.
    fn copy_of(&self, _: &LowerFile, _: &Found) -> Result<Option<(Part, Found)>> {
        Ok(None)
    }
}

/// Why a stack cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum OpenError {
    #[error("a union needs at least one lower directory")]
    NoLower,
    #[error("{what} {path}")]
    Open { what: &'static str, path: PathBuf, source: Errno },
    #[error("upper directory {upper} and work directory {work} are on different file systems; put both on one")]
    DifferentFileSystems { upper: PathBuf, work: PathBuf },
    #[error("work directory {work} lies inside upper directory {upper}, or is the same; choose one beside it")]
    Overlapping { upper: PathBuf, work: PathBuf },
    #[error("lower directory {inner} is, or lies in, {outer}, which the same mount uses; choose one or the other")]
    Nested { inner: PathBuf, outer: PathBuf },
    #[error("upper directory {path} is in use by another mount")]
    InUse { path: PathBuf },
}

impl Stack {
    /// How marks and owners are kept on disk.
    pub fn policy(&self) -> Policy {
        Policy { marks: self.namespace, owners: self.owners }
    }

    /// Opens and checks the directories.
    ///
    /// # Errors
    /// The first reason why they cannot be used, with the path.
    pub fn open(asked: &Asked<'_>) -> Result<Stack, OpenError> {
        let &Asked { lower, data_only, tables, upper, owners, user_marks, redirects, quiet } = asked;
        if lower.is_empty() {
            return Err(OpenError::NoLower);
        }
        // Layers and containers of a store lie side by side, so they need no nesting check.
        let is_stored =
            |which: usize| matches!(tables, Tables::Known(known) if matches!(known.get(which), Some(Some(_))));
        let plain = lower.iter().enumerate().filter(|(which, _)| !is_stored(*which)).map(|(_, path)| path);
        check_nesting(&plain.chain(data_only).cloned().collect::<Vec<_>>(), upper)?;
        let upper = upper.map(|(upper, work)| open_upper(upper, work, owners, user_marks)).transpose()?;
        let namespace = match &upper {
            Some(upper) => upper.policy.marks,
            None if user_marks => Namespace::User,
            None => Namespace::of_this_process(),
        };
        let policy = Policy { marks: namespace, owners };
        let open_layer = |which, path: &PathBuf| -> Result<LowerLayer> {
            let root = if quiet { Detached::quiet_dir(path)? } else { Dir::open_host(path)? };
            let toc = tables.of(which, &root, policy);
            LowerLayer::new(root, toc, policy)
        };
        let open = |(which, path): (usize, &PathBuf)| match open_layer(which, path) {
            Ok(layer) => Ok(layer),
            Err(source) => Err(OpenError::Open { what: "lower directory", path: path.clone(), source }),
        };
        let below = lower.len();
        let lower = lower.iter().enumerate().map(open).collect::<Result<Vec<_>, OpenError>>()?;
        let data_only = data_only
            .iter()
            .enumerate()
            .map(|(which, path)| open((below + which, path)))
            .collect::<Result<Vec<_>, OpenError>>()?;
        if let Tables::Make = tables {
            // The memory for making the tables is not needed again.
            sys::give_back_memory();
        }
        Ok(Stack { upper, lower, data_only, owners, namespace, redirects })
    }

    /// Statistics of the upper layer's file system, or of the topmost layer's if there is no upper layer.
    ///
    /// # Errors
    /// As `fstatvfs(3)`.
    pub fn stat_fs(&self) -> Result<FsStat> {
        match (&self.upper, self.lower.first()) {
            (Some(upper), _) => upper.root.stat_fs(),
            (None, Some(top)) => top.root().stat_fs(),
            (None, None) => Err(Errno::NOENT),
        }
    }
}

fn open_upper(upper: &Path, work: &Path, owners: Owners, user_marks: bool) -> Result<UpperLayer, OpenError> {
    let fail = |what, path: &Path| {
        let path = path.to_path_buf();
        move |source| OpenError::Open { what, path, source }
    };
    let (upper_dir, work_dir) = (
        Dir::open_host(upper).map_err(fail("upper directory", upper))?,
        Dir::open_host(work).map_err(fail("work directory", work))?,
    );
    let stats = (
        upper_dir.stat_self().map_err(fail("upper directory", upper))?,
        work_dir.stat_self().map_err(fail("work directory", work))?,
    );
    if stats.0.dev != stats.1.dev {
        return Err(OpenError::DifferentFileSystems { upper: upper.into(), work: work.into() });
    }
    if let (Ok(upper), Ok(work)) = (upper.canonicalize(), work.canonicalize())
        && (work.starts_with(&upper) || upper.starts_with(&work))
    {
        return Err(OpenError::Overlapping { upper, work });
    }
    let lock = lock_patiently(&work_dir).map_err(|error| match error {
        Errno::WOULDBLOCK => OpenError::InUse { path: upper.into() },
        source => fail("work directory", work)(source),
    })?;
    let staging = Work::open(&work_dir).map_err(fail("work directory", work))?;
    let probed = Policy::probe(staging.dir()).map_err(fail("work directory", work))?;
    let marks = if user_marks { Namespace::User } else { probed.marks };
    Ok(UpperLayer {
        root: LayerDir::new(upper_dir, marks).map_err(fail("upper directory", upper))?,
        work: staging,
        scratch: work_dir,
        policy: Policy { marks, owners },
        _lock: lock,
    })
}

/// Locks the work directory, and waits if it is still locked: after an unmount the process that served the mount needs
/// a moment to end.
fn lock_patiently(work: &Dir) -> Result<File> {
    const PATIENCE: Duration = Duration::from_secs(5);
    const STEP: Duration = Duration::from_millis(2);
    let started = Instant::now();
    loop {
        match work.lock() {
            Err(Errno::WOULDBLOCK) if started.elapsed() < PATIENCE => thread::sleep(STEP),
            other => return other,
        }
    }
}
