//! The part of Linux between system calls and a file system: it walks paths, follows symbolic links, and keeps the open
//! files with their flags.
//!
//! The model and the union without a mount need it. For the mount and kernel overlayfs, Linux itself does this.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;

use overfuse::sys::{Errno, Kind};
use overfuse::union::Remove;
use rustix::fs::OFlags;

use crate::operations::{Allocate, Answer, How, OPEN, Operation, SLOTS, Wanted};
use crate::subject::{Attr, Entry, Listed, Subject, kind_name, runs};

pub type Result<T> = std::result::Result<T, Errno>;

/// The usual umask of a shell. The mode that a file system gets is not yet masked by it.
pub const UMASK: u32 = 0o022;

const LINKS_MAX: usize = 40;
/// The range of a `CopyRange`: offset to read, offset to write, length.
pub const RANGE: (u64, u64, u64) = (1, 2, 5000);
/// The mtime that `Utimes` sets: seconds and nanoseconds.
pub const UTIME: (i64, i64) = (1_100_000_000, 123_456_789);

/// What to create.
#[derive(Clone, Copy, Debug)]
pub enum New<'a> {
    File,
    Dir,
    Symlink(&'a str),
    Fifo,
}

/// The attributes to change; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    pub perm: Option<u32>,
    pub owner: Option<(u32, u32)>,
    pub size: Option<u64>,
    pub mtime: Option<(i64, i64)>,
}

/// A file system as Linux calls it: by nodes, without paths and open files.
pub trait FileSystem {
    type Node: Copy + Eq + Hash;

    fn root(&self) -> Self::Node;
    fn lookup(&mut self, dir: Self::Node, name: &str) -> Result<Option<Self::Node>>;
    fn parent(&mut self, dir: Self::Node) -> Result<Self::Node>;
    fn attr(&mut self, node: Self::Node) -> Result<Attr>;
    fn target(&mut self, node: Self::Node) -> Result<String>;
    fn names(&mut self, dir: Self::Node) -> Result<Vec<Listed>>;
    fn content(&mut self, node: Self::Node) -> Result<Vec<u8>>;
    fn xattrs(&mut self, node: Self::Node) -> Result<BTreeMap<String, Vec<u8>>>;

    fn create(&mut self, dir: Self::Node, name: &str, new: New<'_>, perm: u32) -> Result<Self::Node>;
    fn link(&mut self, node: Self::Node, dir: Self::Node, name: &str) -> Result<()>;
    fn remove(&mut self, dir: Self::Node, name: &str, what: Remove) -> Result<()>;
    fn rename(&mut self, from: (Self::Node, &str), to: (Self::Node, &str), how: How) -> Result<()>;
    fn write(&mut self, node: Self::Node, offset: u64, data: &[u8]) -> Result<()>;
    fn change(&mut self, node: Self::Node, change: Change) -> Result<()>;
    fn allocate(&mut self, node: Self::Node, how: Allocate, offset: u64, length: u64) -> Result<()>;
    fn copy_range(&mut self, from: Self::Node, to: Self::Node) -> Result<u64>;
    fn set_xattr(&mut self, node: Self::Node, key: &str, value: &[u8], how: Wanted) -> Result<()>;
    fn remove_xattr(&mut self, node: Self::Node, key: &str) -> Result<()>;

    /// Called after each operation; `held` has the nodes that stay open.
    fn settle(&mut self, held: &[Self::Node]);
}

/// A file system and the open files on it.
pub struct Vfs<F: FileSystem> {
    pub fs: F,
    slots: [Option<Opened<F::Node>>; SLOTS],
    /// Removed directories, of which some may be open: Linux does no lookups in them.
    dead: HashSet<F::Node>,
}

#[derive(Clone, Copy)]
struct Opened<N> {
    node: N,
    flags: OFlags,
}

/// The end of a path: a name in a directory, and the node there.
struct Place<N> {
    dir: N,
    name: String,
    node: Option<N>,
}

impl<N> Opened<N> {
    fn reads(&self) -> bool {
        !self.flags.contains(OFlags::WRONLY)
    }

    fn writes(&self) -> bool {
        self.flags.intersects(OFlags::WRONLY | OFlags::RDWR)
    }
}

impl<F: FileSystem> Vfs<F> {
    pub fn new(fs: F) -> Self {
        Vfs { fs, slots: [None; SLOTS], dead: HashSet::new() }
    }

    pub fn close(&mut self) {
        self.slots = [None; SLOTS];
        self.dead.clear();
    }

    pub fn is_open(&self, slot: usize) -> bool {
        self.slots[slot].is_some()
    }

    fn opened(&self, slot: usize) -> Result<Opened<F::Node>> {
        self.slots[slot].ok_or(Errno::BADF)
    }

    fn is_dir(&mut self, node: F::Node) -> Result<bool> {
        Ok(self.fs.attr(node)?.kind == Kind::Directory)
    }

    fn walk(&mut self, path: &str, follow: bool) -> Result<Place<F::Node>> {
        let (mut dir, below) = match path.strip_prefix(OPEN) {
            None => (self.fs.root(), path),
            Some(open) => {
                let (slot, below) = open.split_once('/').expect("a path below a slot");
                (self.opened(slot.parse().expect("a slot's number"))?.node, below)
            }
        };
        let steps = |path: &str| path.rsplit('/').map(String::from).collect::<Vec<_>>();
        let mut rest = steps(below);
        let mut links = 0;
        loop {
            if !self.is_dir(dir)? {
                return Err(Errno::NOTDIR);
            }
            let name = rest.pop().expect("a path has a component");
            if name == ".." {
                dir = self.fs.parent(dir)?;
                continue;
            }
            if self.dead.contains(&dir) {
                return Err(Errno::NOENT);
            }
            let Some(node) = self.fs.lookup(dir, &name)? else {
                return if rest.is_empty() { Ok(Place { dir, name, node: None }) } else { Err(Errno::NOENT) };
            };
            let is_link = self.fs.attr(node)?.kind == Kind::Symlink;
            if is_link && (follow || !rest.is_empty()) {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP);
                }
                rest.extend(steps(&self.fs.target(node)?));
            } else if rest.is_empty() {
                return Ok(Place { dir, name, node: Some(node) });
            } else {
                dir = node;
            }
        }
    }

    fn find(&mut self, path: &str, follow: bool) -> Result<F::Node> {
        self.walk(path, follow)?.node.ok_or(Errno::NOENT)
    }

    fn made(&mut self, dir: F::Node, name: &str, new: New<'_>, perm: u32) -> Result<F::Node> {
        let node = self.fs.create(dir, name, new, perm)?;
        // A file system may reuse the number of a removed node.
        self.dead.remove(&node);
        Ok(node)
    }

    fn create(&mut self, path: &str, new: New<'_>, perm: u32) -> Result<()> {
        let place = self.walk(path, false)?;
        self.made(place.dir, &place.name, new, perm).map(drop)
    }

    fn open(&mut self, path: &str, flags: OFlags, mode: u32) -> Result<Opened<F::Node>> {
        let create = flags.contains(OFlags::CREATE);
        let exclusive = create && flags.contains(OFlags::EXCL);
        let place = self.walk(path, !exclusive && !flags.contains(OFlags::NOFOLLOW))?;
        let Some(node) = place.node else {
            if !create {
                return Err(Errno::NOENT);
            }
            let node = self.made(place.dir, &place.name, New::File, mode & 0o7777)?;
            return Ok(Opened { node, flags });
        };
        if exclusive {
            return Err(Errno::EXIST);
        }
        let opened = Opened { node, flags };
        match self.fs.attr(node)?.kind {
            Kind::Symlink => return Err(Errno::LOOP),
            Kind::Directory if create || opened.writes() || flags.contains(OFlags::TRUNC) => return Err(Errno::ISDIR),
            Kind::Directory => {}
            _ if flags.contains(OFlags::DIRECTORY) => return Err(Errno::NOTDIR),
            Kind::Fifo if opened.writes() && !opened.reads() => return Err(Errno::NXIO),
            Kind::Regular if flags.contains(OFlags::TRUNC) => {
                self.fs.change(node, Change { size: Some(0), ..Change::default() })?;
            }
            _ => {}
        }
        Ok(opened)
    }

    fn write(&mut self, to: Opened<F::Node>, offset: u64, data: &[u8]) -> Answer {
        if !to.writes() {
            return Err(Errno::BADF);
        }
        let offset = if to.flags.contains(OFlags::APPEND) { self.fs.attr(to.node)?.size } else { offset };
        if !data.is_empty() {
            self.fs.write(to.node, offset, data)?;
        }
        done(())
    }

    fn copy_range(&mut self, from: &str, to: &str) -> Answer {
        let source = self.open(from, OFlags::RDONLY, 0)?;
        let target = self.open(to, OFlags::RDWR, 0)?;
        for opened in [source, target] {
            match self.fs.attr(opened.node)?.kind {
                Kind::Directory => return Err(Errno::ISDIR),
                Kind::Regular => {}
                _ => return Err(Errno::INVAL),
            }
        }
        let (read, written, most) = RANGE;
        let length = most.min(self.fs.attr(source.node)?.size.saturating_sub(read));
        if source.node == target.node && written < read + length && read < written + length {
            return Err(Errno::INVAL);
        }
        match self.fs.copy_range(source.node, target.node) {
            // If the layers are on two file systems, Linux copies by reading and writing.
            Err(Errno::XDEV) => {
                let content = self.fs.content(source.node)?;
                let range: Vec<u8> = content.into_iter().skip(read as usize).take(length as usize).collect();
                if !range.is_empty() {
                    self.fs.write(target.node, written, &range)?;
                }
                Ok(length.to_string())
            }
            copied => copied.map(|count| count.to_string()),
        }
    }

    /// Does the checks that need ancestors of the two directories, then renames.
    fn rename(&mut self, from: &Place<F::Node>, to: &Place<F::Node>, how: How) -> Answer {
        let source = from.node.ok_or(Errno::NOENT)?;
        match (how, to.node) {
            (How::NoReplace, Some(_)) => return Err(Errno::EXIST),
            (How::Exchange, None) => return Err(Errno::NOENT),
            _ => {}
        }
        if self.is_within(to.dir, source)? {
            return Err(Errno::INVAL);
        }
        if let Some(target) = to.node
            && target != source
            && self.is_within(from.dir, target)?
        {
            return Err(if how == How::Exchange { Errno::INVAL } else { Errno::NOTEMPTY });
        }
        self.fs.rename((from.dir, &from.name), (to.dir, &to.name), how)?;
        if how == How::Replace && to.node != from.node {
            self.dead.extend(to.node);
        }
        done(())
    }

    fn is_within(&mut self, mut dir: F::Node, ancestor: F::Node) -> Result<bool> {
        while dir != ancestor && dir != self.fs.root() {
            dir = self.fs.parent(dir)?;
        }
        Ok(dir == ancestor)
    }

    fn chown(&mut self, path: &str, owner: (u32, u32)) -> Answer {
        let node = self.find(path, false)?;
        let attr = self.fs.attr(node)?;
        // Linux clears the set-id bits for every caller, except on directories.
        let perm = match attr.kind {
            Kind::Directory | Kind::Symlink => None,
            _ => Some(without_set_id(attr.perm)).filter(|perm| *perm != attr.perm),
        };
        done(self.fs.change(node, Change { perm, owner: Some(owner), ..Change::default() })?)
    }

    /// Only files and directories can have `user.*` attributes.
    fn check_xattr(&mut self, node: F::Node, key: &str) -> Result<()> {
        let carries = matches!(self.fs.attr(node)?.kind, Kind::Regular | Kind::Directory);
        if key.starts_with("user.") && !carries { Err(Errno::PERM) } else { Ok(()) }
    }

    fn apply_inner(&mut self, operation: &Operation) -> Answer {
        use Operation::*;
        match operation {
            Open { slot, path, flags, mode } => {
                let opened = self.open(path, *flags, *mode);
                self.slots[*slot] = None;
                let opened = opened?;
                let kind = self.fs.attr(opened.node)?.kind;
                if matches!(kind, Kind::Regular | Kind::Directory) {
                    self.slots[*slot] = Some(opened);
                }
                Ok(kind_name(kind).into())
            }
            Write { path, flags, offset, length, byte } => {
                let opened = self.open(path, *flags, 0o644)?;
                match self.fs.attr(opened.node)?.kind {
                    Kind::Regular => self.write(opened, *offset, byte.to_string().repeat(*length).as_bytes()),
                    other => Ok(kind_name(other).into()),
                }
            }
            Mkdir { path, mode } => done(self.create(path, New::Dir, mode & 0o1777)?),
            Symlink { target, path } => done(self.create(path, New::Symlink(target), 0o777)?),
            Fifo { path, mode } => done(self.create(path, New::Fifo, mode & 0o7777)?),
            Link { from, to } => {
                let node = self.find(from, false)?;
                let place = self.walk(to, false)?;
                if place.node.is_some() {
                    return Err(Errno::EXIST);
                }
                done(self.fs.link(node, place.dir, &place.name)?)
            }
            Unlink { path } => {
                let place = self.walk(path, false)?;
                done(self.fs.remove(place.dir, &place.name, Remove::File)?)
            }
            Rmdir { path } => {
                let place = self.walk(path, false)?;
                self.fs.remove(place.dir, &place.name, Remove::Dir)?;
                self.dead.extend(place.node);
                done(())
            }
            Rename { from, to, how } => {
                let (from, to) = (self.walk(from, false)?, self.walk(to, false)?);
                self.rename(&from, &to, *how)
            }
            Truncate { path, length } => {
                let node = self.find(path, true)?;
                match self.fs.attr(node)?.kind {
                    Kind::Regular => done(self.fs.change(node, Change { size: Some(*length), ..Change::default() })?),
                    Kind::Directory => Err(Errno::ISDIR),
                    _ => Err(Errno::INVAL),
                }
            }
            CopyRange { from, to } => self.copy_range(from, to),
            Chmod { path, mode } => {
                let node = self.find(path, true)?;
                done(self.fs.change(node, Change { perm: Some(*mode), ..Change::default() })?)
            }
            Chown { path, owner } => self.chown(path, *owner),
            Utimes { path } => {
                let node = self.find(path, false)?;
                done(self.fs.change(node, Change { mtime: Some(UTIME), ..Change::default() })?)
            }
            SetXattr { path, key, value, how } => {
                let node = self.find(path, false)?;
                self.check_xattr(node, key)?;
                done(self.fs.set_xattr(node, key, value.as_bytes(), *how)?)
            }
            RemoveXattr { path, key } => {
                let node = self.find(path, false)?;
                self.check_xattr(node, key)?;
                done(self.fs.remove_xattr(node, key)?)
            }
            List { path } => {
                let names = self.list(path)?;
                Ok(names.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(" "))
            }
            Stat { path } => {
                let node = self.find(path, false)?;
                Ok(self.fs.attr(node)?.to_string())
            }
            ReadLink { path } => {
                let node = self.find(path, false)?;
                if self.fs.attr(node)?.kind == Kind::Symlink { self.fs.target(node) } else { Err(Errno::INVAL) }
            }
            ReadOpen { slot } => {
                let opened = self.opened(*slot)?;
                match self.fs.attr(opened.node)?.kind {
                    _ if !opened.reads() => Err(Errno::BADF),
                    Kind::Directory if self.dead.contains(&opened.node) => Err(Errno::NOENT),
                    Kind::Directory => {
                        let names = self.fs.names(opened.node)?;
                        Ok(names.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(" "))
                    }
                    _ => Ok(runs(&self.fs.content(opened.node)?)),
                }
            }
            WriteOpen { slot, offset, length, byte } => {
                let opened = self.opened(*slot)?;
                self.write(opened, *offset, byte.to_string().repeat(*length).as_bytes())
            }
            TruncateOpen { slot, length } => {
                let opened = self.opened(*slot)?;
                if !opened.writes() {
                    return Err(Errno::INVAL);
                }
                done(self.fs.change(opened.node, Change { size: Some(*length), ..Change::default() })?)
            }
            AllocateOpen { slot, how, offset, length } => {
                let opened = self.opened(*slot)?;
                if !opened.writes() {
                    return Err(Errno::BADF);
                }
                done(self.fs.allocate(opened.node, *how, *offset, *length)?)
            }
            ChmodOpen { slot, mode } => {
                let opened = self.opened(*slot)?;
                done(self.fs.change(opened.node, Change { perm: Some(*mode), ..Change::default() })?)
            }
            StatOpen { slot } => {
                let opened = self.opened(*slot)?;
                Ok(self.fs.attr(opened.node)?.to_string())
            }
            Close { slot } => {
                self.slots[*slot] = None;
                done(())
            }
            RemoveTree { .. } | Remount { .. } | Commit | Look => unreachable!("the sequence does {operation:?}"),
        }
    }
}

fn done((): ()) -> Answer {
    Ok(String::new())
}

/// The mode after a change of owner or after a write without privilege.
pub fn without_set_id(perm: u32) -> u32 {
    let perm = perm & !0o4000;
    if perm & 0o2010 == 0o2010 { perm & !0o2000 } else { perm }
}

impl<F: FileSystem> Subject for Vfs<F> {
    fn apply(&mut self, operation: &Operation) -> Answer {
        let answer = self.apply_inner(operation);
        let held: Vec<F::Node> = self.slots.iter().flatten().map(|opened| opened.node).collect();
        self.fs.settle(&held);
        answer
    }

    fn entry(&mut self, path: &str) -> Result<Entry> {
        let node = if path == "." { self.fs.root() } else { self.find(path, false)? };
        let attr = self.fs.attr(node)?;
        let content = match attr.kind {
            Kind::Regular => self.fs.content(node)?,
            Kind::Symlink => self.fs.target(node)?.into_bytes(),
            _ => Vec::new(),
        };
        Ok(Entry { attr, content, xattrs: self.fs.xattrs(node)? })
    }

    fn list(&mut self, path: &str) -> Result<Vec<Listed>> {
        let node = if path == "." { self.fs.root() } else { self.find(path, false)? };
        if !self.is_dir(node)? {
            return Err(Errno::NOTDIR);
        }
        self.fs.names(node)
    }

    fn stop(self: Box<Self>) -> std::result::Result<(), String> {
        Ok(())
    }
}
