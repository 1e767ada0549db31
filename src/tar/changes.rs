//! What an upper directory changes of the layers below it, as `docker diff` tells it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::Error;
use super::merged::{Lower, Merged, Over};
use super::path::PATH_MAX;
use crate::layer::marks::visible_xattrs;
use crate::layer::{Owners, Part, Policy, Resolution};
use crate::sys::xattr::{self, Of};
use crate::sys::{self, Errno, Kind, Name, Timestamp};

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

/// What an upper directory changes of the layers below it, sorted by the bytes of the paths.
///
/// A directory is modified when its mode, owner or xattrs are, or anything in it. What was copied up
/// and is as it was below is not told; of a deleted directory only its own path is. A directory that was
/// renamed is deleted under its old name, and added whole under the new one.
///
/// # Errors
/// The first error of the walk, with the path.
pub fn changes(over: Over<'_>, policy: Policy) -> Result<Vec<Change>, Error> {
    let root = Path::new("/");
    let layers = Lower::new(over, policy).map_err(fail(root))?;
    let (now, before) = (layers.root_under(over.upper).map_err(fail(root))?, layers.root_dir().map_err(fail(root))?);
    let mut walk = Walk { layers, owners: policy.owners, changes: Vec::new() };
    walk.children(root, &now, &before)?;
    let mut changes = walk.changes;
    changes.sort_by(|a, b| OsStr::cmp(a.path.as_os_str(), b.path.as_os_str()));
    Ok(changes)
}

struct Walk {
    layers: Lower,
    owners: Owners,
    changes: Vec<Change>,
}

impl Walk {
    fn tell(&mut self, kind: ChangeKind, path: &Path) {
        self.changes.push(Change { kind, path: path.into() });
    }

    /// Compares what is in a directory of the union with what the lower layers alone have there.
    fn children(&mut self, path: &Path, now: &Merged, before: &Merged) -> Result<(), Error> {
        // Each level of a tree takes some of the stack.
        if path.as_os_str().len() >= PATH_MAX {
            return Err(fail(path)(Errno::NAMETOOLONG));
        }
        let names = match now.has_lower_of(before) {
            // What the upper layer does not speak of is the same.
            true => now
                .upper_names()
                .map(|names| &names | &self.layers.hidden_names(path.strip_prefix("/").unwrap_or(path))),
            false => self.layers.names(now).and_then(|now| Ok(&now | &self.layers.names(before)?)),
        };
        for name in names.map_err(fail(path))? {
            let path = path.join(name.as_os_str());
            let is = self.layers.look(now, name.as_name()).map_err(fail(&path))?.is;
            let was = self.layers.look(before, name.as_name()).map_err(fail(&path))?.is;
            match (is.top(), was.top()) {
                (None, None) => {}
                (None, Some(_)) => self.tell(ChangeKind::Deleted, &path),
                (Some(_), _) => self.entry(&path, name.as_name(), (now, &is), (before, &was))?,
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        path: &Path,
        name: Name<'_>,
        now: (&Merged, &Resolution<Part>),
        before: (&Merged, &Resolution<Part>),
    ) -> Result<(), Error> {
        let fail = fail(path);
        let told = self.changes.len();
        let kind = match before.1.top() {
            None => Some(ChangeKind::Added),
            Some(_) => (self.shown(name, now).map_err(fail)? != self.shown(name, before).map_err(fail)?)
                .then_some(ChangeKind::Modified),
        };
        let dir = |(dir, found): (&Merged, &Resolution<Part>)| match found {
            Resolution::Dir(parts) => self.layers.child(dir, name, parts),
            _ => Ok(Merged::default()),
        };
        let (now, before) = (dir(now).map_err(fail)?, dir(before).map_err(fail)?);
        self.children(path, &now, &before)?;
        let inside = self.changes.len() > told;
        if let Some(kind) = kind.or(inside.then_some(ChangeKind::Modified)) {
            self.tell(kind, path);
        }
        Ok(())
    }

    /// All that users see of an entry; of directories not their times.
    fn shown(&self, name: Name<'_>, (dir, found): (&Merged, &Resolution<Part>)) -> sys::Result<Option<Shown>> {
        let Some((part, found)) = found.top() else { return Ok(None) };
        let (dir, name) = self.layers.part(dir, (part, name))?;
        let of = Of::Name(&dir, name.as_name());
        let stat = self.owners.stat(of, found.stat)?;
        let attributes = (stat.kind, stat.perm, stat.uid, stat.gid, stat.rdev);
        let content = (stat.kind != Kind::Directory).then_some((stat.size, stat.mtime));
        Ok(Some(Shown { attributes, content, xattrs: xattrs(of)? }))
    }
}

#[derive(PartialEq)]
struct Shown {
    attributes: (Kind, u32, u32, u32, u64),
    content: Option<(u64, Timestamp)>,
    xattrs: Vec<(OsString, Option<Vec<u8>>)>,
}

fn xattrs(of: Of<'_>) -> sys::Result<Vec<(OsString, Option<Vec<u8>>)>> {
    let mut xattrs = visible_xattrs(of)?
        .into_iter()
        .map(|key| Ok((key.clone(), xattr::get(of, &key)?)))
        .collect::<sys::Result<Vec<_>>>()?;
    xattrs.sort();
    Ok(xattrs)
}

fn fail(path: &Path) -> impl Fn(Errno) -> Error + Copy {
    move |source| Error::Tree { path: path.into(), action: "compare it", source }
}
