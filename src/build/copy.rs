//! COPY and ADD: finds the sources and brings them into a container's upper directory.

use std::fs;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use super::error::{Result, StepError, at};
use super::evaluate::CopyStep;
use super::ignore::Ignore;
use super::tree::{CopyOptions, Found, ROOT, Tree};
use crate::container::UserSpec;
use crate::image::{Digest, Hasher};
use crate::layer::Policy;
use crate::store::decompress;
use crate::sys::{Dir, Kind, SetTime, Timestamp};
use crate::tar;
use crate::union::{Change, Owner, Spec, Union};

/// At most this many bytes of an image's `/etc/passwd` or `/etc/group` are read.
const ACCOUNTS_MAX: u64 = 16 << 20;

/// The sources of one COPY or ADD, found.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    tree: &'a Tree,
    found: Vec<Found>,
}

/// What else a copy needs.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// An empty directory for archives.
    pub(super) scratch: &'a Path,
    /// How the store keeps owners.
    pub(super) policy: Policy,
    /// The time of files that the Dockerfile itself contains; `None`: now.
    pub(super) epoch: Option<i64>,
}

impl<'a> Sources<'a> {
    /// Finds the sources of a step in `tree`.
    pub(super) fn find(tree: &'a Tree, step: &CopyStep) -> Result<Sources<'a>> {
        let mut found = Vec::new();
        for pattern in &step.sources.paths {
            let path = Path::new(pattern);
            let is_pattern = pattern.contains(['*', '?', '[']);
            let paths = tree.matching(pattern).map_err(at("look for", path))?;
            let before = found.len();
            for path in paths {
                let resolved = tree.resolve(&path).map_err(at("look for", path.as_ref()))?;
                found.extend(resolved.filter(|found| match found.attr.stat.kind {
                    Kind::Directory => !tree.is_ignored(&found.path),
                    _ => !tree.hides(&found.path),
                }));
            }
            if found.len() == before {
                let pattern = pattern.clone();
                return Err(if is_pattern { StepError::NoMatch(pattern) } else { StepError::NoSource(pattern) });
            }
        }
        Ok(Sources { tree, found })
    }

    /// A digest over all that the step brings.
    pub(super) fn digest(&self, step: &CopyStep) -> Result<Digest> {
        let exclude = Ignore::of(&step.flags.exclude);
        let mut hasher = Hasher::default();
        for found in &self.found {
            let digest = self.tree.digest(found, &exclude).map_err(at("read", Path::new("the sources")))?;
            let name = found.path.last().map(|name| name.to_string_lossy().into_owned());
            hasher.update(format!("{name:?} {digest}\n").as_bytes());
        }
        hasher.update(format!("{:?} {:?}", step.flags, step.sources).as_bytes());
        Ok(hasher.finish())
    }

    /// Copies into `to`.
    pub(super) fn copy(&self, step: &CopyStep, to: &Tree, place: &Place<'_>) -> Result<()> {
        let target = &step.sources.target;
        let from_image = step.flags.from.is_some();
        let owner = match &step.flags.chown {
            Some(text) => Some(owner(to, text)?),
            None if from_image => None,
            None => Some(ROOT),
        };
        let perm = step.flags.chmod.as_deref().map(octal).transpose()?;
        let exists = to.resolve(target).map_err(at("look at", target.as_ref()))?;
        let is_dir = exists.as_ref().is_some_and(|found| found.attr.stat.kind == Kind::Directory);
        let count = self.found.len() + step.sources.documents.len();
        let into_dir = is_dir || target.ends_with('/') || count > 1;
        if into_dir && exists.is_some() && !is_dir {
            return Err(StepError::NotADirectory(target.clone()));
        }
        let options = |base| CopyOptions { owner, perm, exclude: Ignore::of(&step.flags.exclude), base };
        for found in &self.found {
            let name = found.path.last().cloned();
            if found.attr.stat.kind == Kind::Directory {
                let dir = to.make_dirs(target, owner).map_err(at("make", target.as_ref()))?;
                let copied = to.copy_children(self.tree, found, &dir, &options(found.path.len()));
                copied.map_err(at("copy to", target.as_ref()))?;
                if exists.is_none() {
                    adopt(to, &dir, found, owner, perm).map_err(at("make", target.as_ref()))?;
                }
                continue;
            }
            if step.is_add && step.flags.unpack != Some(false) && self.unpack(found, step, to, place)? {
                continue;
            }
            let (parent, last) = split(target);
            let (dir, name) = match (into_dir, name) {
                (true, Some(name)) => (target.as_str(), name),
                _ => (parent, last.into()),
            };
            let dir = to.make_dirs(dir, owner).map_err(at("make", dir.as_ref()))?;
            let base = found.path.len().saturating_sub(1);
            to.copy((self.tree, found), (&dir, &name), &options(base)).map_err(at("copy to", target.as_ref()))?;
        }
        for document in &step.sources.documents {
            let (parent, last) = split(target);
            let (dir, name) = if into_dir { (target.as_str(), document.name.as_str()) } else { (parent, last) };
            let path = Path::new(target);
            let dir = to.make_dirs(dir, owner).map_err(at("make", path))?;
            let (owner, perm) = (owner.unwrap_or(ROOT), perm.unwrap_or(0o644));
            let made =
                to.write_file((&dir, name), document.content.as_bytes(), owner, perm).map_err(at("write", path))?;
            if let Some(sec) = place.epoch {
                let mtime = SetTime::To(Timestamp { sec, nsec: 0 });
                to.union.change(made, Change { mtime, ..Change::default() }).map_err(at("write", path))?;
            }
        }
        Ok(())
    }

    /// Unpacks `found` into the target if it is an archive. Returns whether it is one.
    fn unpack(&self, found: &Found, step: &CopyStep, to: &Tree, place: &Place<'_>) -> Result<bool> {
        let target = Path::new(&step.sources.target);
        let file = Content { tree: self.tree, found, at: 0 };
        let mut reader = BufReader::with_capacity(128 << 10, file);
        let mut magic = Vec::new();
        reader.by_ref().take(512).read_to_end(&mut magic).map_err(|error| unusable(found, &error))?;
        let whole = Cursor::new(magic.clone()).chain(reader);
        if magic.starts_with(b"BZh") || magic.starts_with(b"\xfd7zXZ\0") {
            let reason = "ADD unpacks plain archives, gzip and zstd: unpack it in a RUN".to_owned();
            return Err(StepError::Unusable { what: name_of(found), reason });
        }
        let (tar, _) = decompress(whole).map_err(|error| unusable(found, &error))?;
        // A compressed file that holds no archive is copied as it is.
        let mut tar = BufReader::with_capacity(128 << 10, tar);
        let mut begins = Vec::new();
        if tar.by_ref().take(512).read_to_end(&mut begins).is_err() || begins.get(257..262) != Some(b"ustar") {
            return Ok(false);
        }
        fs::create_dir_all(place.scratch).map_err(|error| unusable(found, &error))?;
        let into = Dir::open_host(place.scratch).map_err(at("open", place.scratch))?;
        tar::unpack(Cursor::new(begins).chain(tar), &into, place.policy)
            .map_err(|error| StepError::Unusable { what: name_of(found), reason: error.to_string() })?;
        let spec = Spec { owners: place.policy.owners, ..Spec::new(vec![place.scratch.to_owned()]) };
        let archive = Tree { union: Union::open(&spec)?, ignore: Ignore::default() };
        let root = archive.resolve("/").map_err(at("read", place.scratch))?;
        let owner = step.flags.chown.as_deref().map(|text| owner(to, text)).transpose()?;
        let dir = to.make_dirs(&step.sources.target, owner).map_err(at("make", target))?;
        let options = CopyOptions { owner, perm: None, exclude: Ignore::of(&step.flags.exclude), base: 0 };
        if let Some(root) = root {
            to.copy_children(&archive, &root, &dir, &options).map_err(at("copy to", target))?;
        }
        drop(archive);
        fs::remove_dir_all(place.scratch).map_err(|error| unusable(found, &error))?;
        Ok(true)
    }
}

/// A new target directory gets mode and time of the directory that is copied to it.
fn adopt(to: &Tree, dir: &Found, from: &Found, owner: Option<Owner>, perm: Option<u32>) -> crate::sys::Result<()> {
    let stat = &from.attr.stat;
    let owner = owner.unwrap_or(Owner { uid: stat.uid, gid: stat.gid });
    let change = Change {
        perm: Some(perm.unwrap_or(stat.perm)),
        uid: Some(owner.uid),
        gid: Some(owner.gid),
        mtime: SetTime::To(stat.mtime),
        ..Change::default()
    };
    to.union.change(dir.attr.id, change).map(drop)
}

fn unusable(found: &Found, error: &std::io::Error) -> StepError {
    StepError::Unusable { what: name_of(found), reason: error.to_string() }
}

fn name_of(found: &Found) -> String {
    format!("{:?}", found.path.join("/".as_ref()).to_string_lossy())
}

/// The directory and the last name of a target.
fn split(target: &str) -> (&str, &str) {
    target.trim_end_matches('/').rsplit_once('/').unwrap_or(("/", target))
}

fn octal(text: &str) -> Result<u32> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| StepError::Expected(format!("a mode in octal, such as 755, instead of {text:?}")))
}

/// The owner that `USER[:GROUP]` means in the image. Without a group, the group has the user's number, as in docker.
fn owner(tree: &Tree, text: &str) -> Result<Owner> {
    let unknown = || StepError::NoOwner(text.to_owned());
    let read = |path: &str| -> Result<String> {
        let fail = |errno| at("read", path.as_ref())(errno);
        let Some(found) = tree.resolve(path).map_err(fail)?.filter(|found| found.attr.stat.kind == Kind::Regular)
        else {
            return Ok(String::new());
        };
        let content = tree.read(found.attr.id, ACCOUNTS_MAX).map_err(fail)?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    };
    let spec = UserSpec::parse(text).ok_or_else(unknown)?;
    let identity = spec.resolve(&read("/etc/passwd")?, &read("/etc/group")?).map_err(|_| unknown())?;
    let gid = if text.trim_end_matches(':').contains(':') { identity.gid } else { identity.uid };
    Ok(Owner { uid: identity.uid, gid })
}

/// Reads a file of a tree.
struct Content<'a> {
    tree: &'a Tree,
    found: &'a Found,
    at: u64,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.tree.union.read(self.found.attr.id, self.at, buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}
