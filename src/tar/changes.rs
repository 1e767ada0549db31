//! What an upper directory changes of the layers below it, as `docker diff` tells it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::Error;
use super::path::PATH_MAX;
use crate::layer::marks::{is_opaque, visible_xattrs};
use crate::layer::{self, Found, Policy, Resolution, Seen, resolve};
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
    let hides = is_opaque(Of::fd(upper)).map_err(fail(root))?;
    let lower: Vec<&Dir> = lower.iter().collect();
    walk.children(root, upper, hides, &lower)?;
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
    Leaf(&'a Dir, Stat),
    /// The merged directory, topmost first, with the attributes of the first.
    Dir(&'a Dir, Stat, Vec<Dir>),
}

impl Walk {
    fn tell(&mut self, kind: ChangeKind, path: &Path) {
        self.changes.push(Change { kind, path: path.into() });
    }

    /// Compares what is in a directory; with `hides`, what only `lower` has is deleted.
    fn children(&mut self, path: &Path, upper: &Dir, hides: bool, lower: &[&Dir]) -> Result<(), Error> {
        // Each level of a tree takes some of the stack.
        if path.as_os_str().len() >= PATH_MAX {
            return Err(fail(path)(Errno::NAMETOOLONG));
        }
        let mut names = BTreeSet::new();
        for entry in upper.entries().map_err(fail(path))? {
            let name = entry.name;
            let path = path.join(name.as_os_str());
            match layer::see(upper, name.as_name(), self.policy.marks).map_err(fail(&path))? {
                Seen::Nothing => continue,
                Seen::Whiteout if hides => continue,
                Seen::Whiteout => {
                    if !matches!(below(lower, name.as_name(), self.policy).map_err(fail(&path))?, Below::Nothing) {
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
    fn deleted(&mut self, path: &Path, lower: &[&Dir], kept: &BTreeSet<NameBuf>) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        for dir in lower {
            names.extend(dir.entries().map_err(fail(path))?.into_iter().map(|entry| entry.name));
        }
        for name in names.difference(kept) {
            let path = path.join(name.as_os_str());
            if !matches!(below(lower, name.as_name(), self.policy).map_err(fail(&path))?, Below::Nothing) {
                self.tell(ChangeKind::Deleted, &path);
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        path: &Path,
        upper: &Dir,
        name: Name<'_>,
        found: &Found,
        hidden: bool,
        lower: &[&Dir],
    ) -> Result<(), Error> {
        let fail = fail(path);
        let told = self.changes.len();
        let below = below(lower, name, self.policy).map_err(fail)?;
        let mut hides = found.opaque || hidden;
        let (kind, lower) = match &below {
            Below::Nothing => (Some(ChangeKind::Added), &[][..]),
            Below::Leaf(dir, stat) => (self.compare(upper, name, found.stat, dir, *stat).map_err(fail)?, &[][..]),
            Below::Dir(dir, stat, merged) => {
                hides |= !found.is_dir();
                (self.compare(upper, name, found.stat, dir, *stat).map_err(fail)?, merged.as_slice())
            }
        };
        let lower: Vec<&Dir> = lower.iter().collect();
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
        upper: &Dir,
        name: Name<'_>,
        new: Stat,
        lower: &Dir,
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
fn below<'a>(lower: &[&'a Dir], name: Name<'_>, policy: Policy) -> sys::Result<Below<'a>> {
    let seen = lower.iter().map(|&dir| Ok((dir, layer::see(dir, name, policy.marks)?)));
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
