//! Trees that builds read and write: a context, an image or a container, each opened as a union and not mounted.
//!
//! Paths are resolved inside the union, one name after the other, and links start again at its root. So no path of a
//! Dockerfile, a context or an image reaches the host.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::image::{Digest, Hasher};
use crate::sys::{Errno, Kind, Name, Result};
use crate::union::{Attr, NodeId, Owner, Union};

use super::ignore::{Ignore, glob};

mod copy;

/// More links than this in one path are a loop.
const LINKS_MAX: usize = 40;
const BUFFER: usize = 1 << 20;
/// Attributes that copies keep, besides those of programs (`user.`).
const CAPABILITY: &str = "security.capability";

/// A file or directory of a tree.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The names on the way to it; empty for the root.
    pub(super) path: Vec<OsString>,
    pub(super) attr: Attr,
}

/// A tree, and what of it a build does not see.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) union: Union,
    pub(super) ignore: Ignore,
}

/// A directory during a walk.
struct Level {
    attr: Attr,
    visited: bool,
    names: std::vec::IntoIter<OsString>,
}

/// How copies differ from their originals.
#[derive(Clone, Debug)]
pub(super) struct CopyOptions {
    pub(super) owner: Option<Owner>,
    pub(super) perm: Option<u32>,
    /// Relative to the first `base` names of a path.
    pub(super) exclude: Ignore,
    pub(super) base: usize,
}

impl Tree {
    /// The entry at `path`, with links on the way and at its end followed.
    pub(super) fn resolve(&self, path: &str) -> Result<Option<Found>> {
        let mut left: VecDeque<OsString> = parts(path.as_ref());
        let root = Found { path: Vec::new(), attr: self.union.attr(NodeId::ROOT)? };
        let mut way = vec![root];
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            if part == ".." {
                if way.len() > 1 {
                    way.pop();
                }
                continue;
            }
            let Some(dir) = way.last().filter(|dir| dir.attr.stat.kind == Kind::Directory) else { return Ok(None) };
            let Some(attr) = self.union.lookup(dir.attr.id, Name::new(&part)?)? else { return Ok(None) };
            if attr.stat.kind == Kind::Symlink {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP);
                }
                let target = self.union.read_link(attr.id)?;
                if target.as_bytes().starts_with(b"/") {
                    way.truncate(1);
                }
                for part in parts(Path::new(&target)).into_iter().rev() {
                    left.push_front(part);
                }
                continue;
            }
            let path = dir.path.iter().cloned().chain([part]).collect();
            way.push(Found { path, attr });
        }
        Ok(way.pop())
    }

    /// The paths that fit a pattern, sorted. A pattern without special characters fits its own path.
    pub(super) fn matching(&self, pattern: &str) -> Result<Vec<String>> {
        let mut found = vec![String::new()];
        for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
            if !part.contains(['*', '?', '[', '\\']) {
                found.iter_mut().for_each(|path| *path = format!("{path}/{part}"));
                continue;
            }
            let mut below = Vec::new();
            for path in &found {
                let Some(dir) = self.resolve(path)?.filter(|dir| dir.attr.stat.kind == Kind::Directory) else {
                    continue;
                };
                for name in self.names(dir.attr.id)? {
                    let Some(text) = name.to_str().filter(|text| glob(part, text)) else { continue };
                    let path = format!("{path}/{text}");
                    if !self.is_ignored(&parts(path.as_ref())) {
                        below.push(path);
                    }
                }
            }
            found = below;
        }
        found.retain(|path| !path.is_empty());
        if found.is_empty() && parts(pattern.as_ref()).is_empty() {
            found.push("/".into());
        }
        found.sort();
        Ok(found)
    }

    /// Whether the build sees neither the entry nor anything below it.
    pub(super) fn is_ignored<'a>(&self, path: impl IntoIterator<Item = &'a OsString>) -> bool {
        let path: Vec<_> = path.into_iter().map(|part| part.to_string_lossy()).collect();
        let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
        self.ignore.ignores(&path) && !self.ignore.may_include_below(&path)
    }

    /// Whether the build does not see the entry itself.
    pub(super) fn hides(&self, path: &[OsString]) -> bool {
        hides(&self.ignore, path)
    }

    /// The names in a directory, sorted.
    pub(super) fn names(&self, dir: NodeId) -> Result<Vec<OsString>> {
        let mut names = Vec::new();
        let mut offset = 0;
        loop {
            let batch = self.union.read_dir(dir, offset)?;
            let Some(last) = batch.last() else { break };
            offset = last.offset;
            names.extend(batch.iter().filter_map(|item| Some(item.entry_name()?.as_os_str().to_owned())));
        }
        names.sort();
        Ok(names)
    }

    /// The content of a file, at most `most` bytes.
    pub(super) fn read(&self, id: NodeId, most: u64) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        let mut buffer = vec![0; BUFFER];
        while (content.len() as u64) < most {
            match self.union.read(id, content.len() as u64, &mut buffer)? {
                0 => break,
                read => content.extend_from_slice(&buffer[..read]),
            }
        }
        content.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(content)
    }

    /// A digest over all that a copy of `from` would bring: names, kinds, modes, contents; no times and no owners.
    pub(super) fn digest(&self, from: &Found, exclude: &Ignore) -> Result<Digest> {
        let mut hasher = Hasher::default();
        let mut buffer = vec![0; BUFFER];
        let mut record = |parts: &[&[u8]]| {
            for part in parts {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        };
        self.walk(from, (exclude, from.path.len()), &mut |path, attr| {
            let name = path[from.path.len()..].join("/".as_ref());
            record(&[
                name.as_bytes(),
                &[kind_code(attr.stat.kind)],
                &attr.stat.perm.to_le_bytes(),
                &attr.stat.rdev.to_le_bytes(),
            ]);
            match attr.stat.kind {
                Kind::Symlink => record(&[self.union.read_link(attr.id)?.as_bytes()]),
                Kind::Regular => {
                    let mut of_file = Hasher::default();
                    let mut offset = 0;
                    loop {
                        match self.union.read(attr.id, offset, &mut buffer)? {
                            0 => break,
                            read => {
                                of_file.update(&buffer[..read]);
                                offset += read as u64;
                            }
                        }
                    }
                    record(&[of_file.finish().hex().as_bytes()]);
                }
                _ => {}
            }
            for key in self.kept_xattrs(attr.id)? {
                record(&[key.as_bytes(), &self.union.xattr(attr.id, &key)?]);
            }
            Ok(())
        })?;
        Ok(hasher.finish())
    }

    /// Calls `visit` for `from` and everything below it that the build sees, parents first. `exclude` is relative to the
    /// first `base` names of a path. A directory that is hidden is visited when something below it is not.
    fn walk(
        &self,
        from: &Found,
        (exclude, base): (&Ignore, usize),
        visit: &mut dyn FnMut(&[OsString], Attr) -> Result<()>,
    ) -> Result<()> {
        visit(&from.path, from.attr)?;
        if from.attr.stat.kind != Kind::Directory {
            return Ok(());
        }
        let level = |attr: Attr, visited| Ok(Level { attr, visited, names: self.names(attr.id)?.into_iter() });
        let mut levels = vec![level(from.attr, true)?];
        let mut path = from.path.clone();
        while let Some(last) = levels.last_mut() {
            let dir = last.attr.id;
            let Some(name) = last.names.next() else {
                levels.pop();
                path.pop();
                continue;
            };
            let Some(attr) = self.union.lookup(dir, Name::new(&name)?)? else { continue };
            path.push(name);
            let hidden = self.hides(&path) || hides(exclude, &path[base..]);
            if !hidden {
                for (depth, above) in levels.iter_mut().enumerate().filter(|(_, above)| !above.visited) {
                    visit(&path[..from.path.len() + depth], above.attr)?;
                    above.visited = true;
                }
                visit(&path, attr)?;
            }
            let enters =
                !self.is_ignored(&path) && (!hides(exclude, &path[base..]) || may_include(exclude, &path[base..]));
            if attr.stat.kind == Kind::Directory && enters {
                levels.push(level(attr, !hidden)?);
            } else {
                path.pop();
                self.union.forget(attr.id, 1);
            }
        }
        Ok(())
    }

    fn kept_xattrs(&self, id: NodeId) -> Result<Vec<OsString>> {
        let mut keys = match self.union.xattrs(id) {
            Err(Errno::NOTSUP) => Vec::new(),
            keys => keys?,
        };
        keys.retain(|key| key == CAPABILITY || key.as_bytes().starts_with(b"user."));
        keys.sort();
        Ok(keys)
    }
}

/// The user and group that files of an image have by default.
pub(super) const ROOT: Owner = Owner { uid: 0, gid: 0 };

/// A number for each kind, for digests.
fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::Regular => 0,
        Kind::Directory => 1,
        Kind::Symlink => 2,
        Kind::CharDevice => 3,
        Kind::BlockDevice => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
    }
}

fn hides(ignore: &Ignore, path: &[OsString]) -> bool {
    let path: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    ignore.ignores(&path.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

fn may_include(ignore: &Ignore, path: &[OsString]) -> bool {
    let path: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    ignore.may_include_below(&path.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

/// The names in a path; `.` and empty ones are left out.
fn parts(path: &Path) -> VecDeque<OsString> {
    let names = path.as_os_str().as_bytes().split(|&b| b == b'/').filter(|name| !name.is_empty() && *name != b".");
    names.map(|name| std::ffi::OsStr::from_bytes(name).to_owned()).collect()
}
