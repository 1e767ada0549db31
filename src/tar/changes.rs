//! What an upper directory changes of the layers below it, as `docker diff` tells it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::Error;
use super::path::PATH_MAX;
use crate::layer::marks::visible_xattrs;
use crate::layer::{Found, LayerDir, Policy, Resolution, Seen, resolve};
use crate::sys::xattr::{self, Of};
use crate::sys::{self, Dir, Errno, Kind, Name, NameBuf, Stat};

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One path that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
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

/// What `upper` changes of `lower` (topmost first), sorted by the bytes of the paths.
///
/// A directory is modified when its mode, owner or xattrs are, or anything in it. What was copied up
/// and is as it was below is not told; of a deleted directory only its own path is.
///
/// # Errors
/// The first error of the walk, with the path.
pub fn changes(upper: &Dir, lower: &[Dir], policy: Policy) -> Result<Vec<Change>, Error> {
    let root = Path::new("/");
    let mut walk = Walk { policy, changes: Vec::new() };
    let layer = |dir: &Dir| Ok(LayerDir::new(dir.open_dir(".")?, policy.marks));
    let lower = lower.iter().map(layer).collect::<sys::Result<Vec<_>>>().map_err(fail(root))?;
    let upper = layer(upper).map_err(fail(root))?;
    let hides = upper.is_opaque().map_err(fail(root))?;
    walk.children(root, &upper, hides, &lower.iter().collect::<Vec<_>>())?;
    let mut changes = walk.changes;
    changes.sort_by(|a, b| OsStr::cmp(a.path.as_os_str(), b.path.as_os_str()));
    Ok(changes)
}

struct Walk {
    policy: Policy,
    changes: Vec<Change>,
}

/// What the lower layers together have under one name.
enum Below<'a> {
    Nothing,
    Leaf(&'a LayerDir, Stat),
    /// The merged directory, topmost first, with the attributes of the first.
    Dir(&'a LayerDir, Stat, Vec<LayerDir>),
}

impl Walk {
    fn tell(&mut self, kind: ChangeKind, path: &Path) {
        self.changes.push(Change { kind, path: path.into() });
    }

    /// Compares what is in a directory; with `hides`, what only `lower` has is deleted.
    fn children(&mut self, path: &Path, upper: &LayerDir, hides: bool, lower: &[&LayerDir]) -> Result<(), Error> {
        // Each level of a tree takes some of the stack.
        if path.as_os_str().len() >= PATH_MAX {
            return Err(fail(path)(Errno::NAMETOOLONG));
        }
        let mut names = BTreeSet::new();
        for name in upper.list_quietly().map_err(fail(path))?.names() {
            let path = path.join(name.as_os_str());
            match upper.see(name.as_name()).map_err(fail(&path))? {
                Seen::Nothing => continue,
                Seen::Whiteout if hides => continue,
                Seen::Whiteout => {
                    if !matches!(below(lower, name.as_name()).map_err(fail(&path))?, Below::Nothing) {
                        self.tell(ChangeKind::Deleted, &path);
                    }
                }
                Seen::Entry(found) => self.entry(&path, upper, name.as_name(), &found, hides, lower)?,
            }
            names.insert(name);
        }
        if hides {
            self.deleted(path, lower, &names)?;
        }
        Ok(())
    }

    /// Tells of what `lower` has beside `kept`.
    fn deleted(&mut self, path: &Path, lower: &[&LayerDir], kept: &BTreeSet<NameBuf>) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        for dir in lower {
            names.extend(dir.list_quietly().map_err(fail(path))?.names());
        }
        for name in names.difference(kept) {
            let path = path.join(name.as_os_str());
            if !matches!(below(lower, name.as_name()).map_err(fail(&path))?, Below::Nothing) {
                self.tell(ChangeKind::Deleted, &path);
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        path: &Path,
        upper: &LayerDir,
        name: Name<'_>,
        found: &Found,
        hidden: bool,
        lower: &[&LayerDir],
    ) -> Result<(), Error> {
        let fail = fail(path);
        let told = self.changes.len();
        let below = below(lower, name).map_err(fail)?;
        let mut hides = found.opaque || hidden;
        let (kind, lower) = match &below {
            Below::Nothing => (Some(ChangeKind::Added), &[][..]),
            Below::Leaf(dir, stat) => (self.compare(upper, name, found.stat, dir, *stat).map_err(fail)?, &[][..]),
            Below::Dir(dir, stat, merged) => {
                hides |= !found.is_dir();
                (self.compare(upper, name, found.stat, dir, *stat).map_err(fail)?, merged.as_slice())
            }
        };
        let lower: Vec<&LayerDir> = lower.iter().collect();
        if found.is_dir() {
            let dir = upper.open_dir(name.as_os_str()).map_err(fail)?;
            self.children(path, &dir, hides, &lower)?;
        } else if hides {
            self.deleted(path, &lower, &BTreeSet::new())?;
        }
        let inside = self.changes.len() > told;
        if let Some(kind) = kind.or(inside.then_some(ChangeKind::Modified)) {
            self.tell(kind, path);
        }
        Ok(())
    }

    /// Whether the two differ in anything that users see; of directories not in their times.
    fn compare(
        &self,
        upper: &LayerDir,
        name: Name<'_>,
        new: Stat,
        lower: &LayerDir,
        old: Stat,
    ) -> sys::Result<Option<ChangeKind>> {
        let (new_of, old_of) = (Of::Name(upper, name), Of::Name(lower, name));
        let new = self.policy.owners.stat(new_of, new)?;
        let old = self.policy.owners.stat(old_of, old)?;
        let shown = |stat: &Stat| (stat.kind, stat.perm, stat.uid, stat.gid, stat.rdev);
        let content = |stat: &Stat| (stat.kind != Kind::Directory).then_some((stat.size, stat.mtime));
        let same = shown(&new) == shown(&old) && content(&new) == content(&old) && xattrs(new_of)? == xattrs(old_of)?;
        Ok((!same).then_some(ChangeKind::Modified))
    }
}

fn xattrs(of: Of<'_>) -> sys::Result<Vec<(OsString, Option<Vec<u8>>)>> {
    let mut xattrs = visible_xattrs(of)?
        .into_iter()
        .map(|key| Ok((key.clone(), xattr::get(of, &key)?)))
        .collect::<sys::Result<Vec<_>>>()?;
    xattrs.sort();
    Ok(xattrs)
}

/// Asks the lower layers, topmost first, as a union does.
fn below<'a>(lower: &[&'a LayerDir], name: Name<'_>) -> sys::Result<Below<'a>> {
    let seen = lower.iter().map(|&dir| Ok((dir, dir.see(name)?)));
    Ok(match resolve(seen)? {
        Resolution::Missing => Below::Nothing,
        Resolution::Leaf(dir, found) => Below::Leaf(dir, found.stat),
        Resolution::Dir(parts) => match parts.first() {
            None => Below::Nothing,
            Some((top, found)) => {
                let merged = parts.iter().map(|(dir, _)| dir.open_dir(name.as_os_str()));
                Below::Dir(top, found.stat, merged.collect::<sys::Result<_>>()?)
            }
        },
    })
}

fn fail(path: &Path) -> impl Fn(Errno) -> Error + Copy {
    move |source| Error::Tree { path: path.into(), action: "compare it", source }
}
