//! Lists what an upper directory changes in the layers below it, like `docker diff`.

use std::collections::btree_set;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::Error;
use super::path::PATH_MAX;
use crate::layer::{LayerEntry, Merge, MergedDir, Over, Owners, Part, Policy, Resolution};
use crate::sys::{self, Errno, Kind, Name, NameBuf, Timestamp};

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The image lacks it.
    Added,
    /// The image has another one.
    Modified,
    /// It is gone.
    Deleted,
}

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened to it.
    pub kind: ChangeKind,
    /// Absolute, as in the container.
    pub path: PathBuf,
}

/// The letter that `docker diff` prints.
impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChangeKind::Added => "A",
            ChangeKind::Modified => "C",
            ChangeKind::Deleted => "D",
        })
    }
}

/// Lists what an upper directory changes in the layers below it, sorted by the bytes of the paths.
///
/// A directory is modified if its mode, owner or xattrs differ, or anything in it. An entry that was copied up but does
/// not differ is left out. A deleted directory is one entry, without its content. A renamed directory is deleted under
/// its old name and added with all its content under the new one.
///
/// # Errors
/// The first error of the walk, with the path.
pub fn changes(over: Over<'_>, policy: Policy) -> Result<Vec<Change>, Error> {
    let root = Path::new("/");
    let merge = Merge::open(over, policy).map_err(fail(root))?;
    let (now, before) = (merge.root().map_err(fail(root))?, merge.lower_root().map_err(fail(root))?);
    let mut walk = Walk { merge, owners: policy.owners, changes: Vec::new() };
    walk.tree(now, before)?;
    let mut changes = walk.changes;
    changes.sort_by(|a, b| OsStr::cmp(a.path.as_os_str(), b.path.as_os_str()));
    Ok(changes)
}

/// A directory on the path to the entry that is being compared, in the union and in the lower layers alone. It is not
/// open.
struct Level {
    now: MergedDir,
    before: MergedDir,
    /// The names still to be compared.
    names: btree_set::IntoIter<NameBuf>,
    /// How the directory itself differs, apart from its content.
    kind: Option<ChangeKind>,
    /// How many changes were recorded before the first one in it.
    recorded: usize,
}

struct Walk {
    merge: Merge,
    owners: Owners,
    changes: Vec<Change>,
}

impl Walk {
    fn record(&mut self, kind: ChangeKind, path: &Path) {
        self.changes.push(Change { kind, path: path.into() });
    }

    /// Compares the union with the lower layers alone. A loop and no recursion, because a tree can be deeper than the
    /// stack.
    fn tree(&mut self, now: MergedDir, before: MergedDir) -> Result<(), Error> {
        let mut path = PathBuf::from("/");
        // The root's own attributes are not compared.
        let mut levels = vec![self.enter(&path, now, before, None)?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.next() else {
                let inside = self.changes.len() > level.recorded;
                let kind = level.kind.or(inside.then_some(ChangeKind::Modified));
                levels.pop();
                if let Some(kind) = kind.filter(|_| !levels.is_empty()) {
                    self.record(kind, &path);
                }
                path.pop();
                continue;
            };
            path.push(name.as_os_str());
            match self.named(level, &path, name.as_name())? {
                Some(below) => levels.push(below),
                None => drop(path.pop()),
            }
        }
        Ok(())
    }

    fn enter(&self, path: &Path, now: MergedDir, before: MergedDir, kind: Option<ChangeKind>) -> Result<Level, Error> {
        if path.as_os_str().len() >= PATH_MAX {
            return Err(fail(path)(Errno::NAMETOOLONG));
        }
        let names = match now.has_lower_of(&before) {
            // Names that the upper layer neither has nor hides are unchanged.
            true => self
                .merge
                .upper_names(&now)
                .map(|names| &names | &self.merge.hidden_names(path.strip_prefix("/").unwrap_or(path))),
            false => self.merge.names(&now).and_then(|now| Ok(&now | &self.merge.names(&before)?)),
        };
        let names = names.map_err(fail(path))?.into_iter();
        Ok(Level { now, before, names, kind, recorded: self.changes.len() })
    }

    /// Compares one entry. Returns it to be entered unless it is deleted; its own change is recorded after its
    /// content's.
    fn named(&mut self, level: &Level, path: &Path, name: Name<'_>) -> Result<Option<Level>, Error> {
        let fail = fail(path);
        let is = self.merge.lookup(&level.now, name).map_err(fail)?.is;
        let was = self.merge.lookup(&level.before, name).map_err(fail)?.is;
        let kind = match (is.top(), was.top()) {
            (None, None) => return Ok(None),
            (None, Some(_)) => {
                self.record(ChangeKind::Deleted, path);
                return Ok(None);
            }
            (Some(_), None) => Some(ChangeKind::Added),
            (Some(_), Some(_)) => {
                let now = self.shown(name, (&level.now, &is)).map_err(fail)?;
                let before = self.shown(name, (&level.before, &was)).map_err(fail)?;
                (now != before).then_some(ChangeKind::Modified)
            }
        };
        let dir = |dir, found: &Resolution<Part>| match found {
            Resolution::Dir(parts) => self.merge.child(dir, name, parts),
            Resolution::Leaf(..) | Resolution::Missing => MergedDir::default(),
        };
        self.enter(path, dir(&level.now, &is), dir(&level.before, &was), kind).map(Some)
    }

    /// Everything that users see of an entry, except the time of a directory.
    fn shown(&self, name: Name<'_>, (dir, found): (&MergedDir, &Resolution<Part>)) -> sys::Result<Option<Shown>> {
        let Some((part, found)) = found.top() else { return Ok(None) };
        let entry = self.merge.part(dir, (part, name))?;
        let stat = entry.shown(self.owners, found.stat)?;
        let attributes = (stat.kind, stat.perm, stat.uid, stat.gid, stat.rdev);
        let content = (stat.kind != Kind::Directory).then_some((stat.size, stat.mtime));
        Ok(Some(Shown { attributes, content, xattrs: xattrs(&entry)? }))
    }
}

#[derive(PartialEq)]
struct Shown {
    attributes: (Kind, u32, u32, u32, u64),
    content: Option<(u64, Timestamp)>,
    xattrs: Vec<(OsString, Option<Vec<u8>>)>,
}

fn xattrs(entry: &LayerEntry) -> sys::Result<Vec<(OsString, Option<Vec<u8>>)>> {
    let mut xattrs = entry
        .visible_xattrs()?
        .into_iter()
        .map(|key| Ok((key.clone(), entry.xattr(&key)?)))
        .collect::<sys::Result<Vec<_>>>()?;
    xattrs.sort();
    Ok(xattrs)
}

fn fail(path: &Path) -> impl Fn(Errno) -> Error + Copy {
    move |source| Error::Tree { path: path.into(), action: "compare it", source }
}
