//! The specification: a tree of files in memory. It has no layers.

use std::collections::BTreeMap;

use overfuse::sys::{Errno, Kind};
use overfuse::union::Remove;

use crate::operations::{Allocate, How, Wanted};
use crate::subject::{Attr, Listed, Time, kind_name};
use crate::vfs::{Change, FileSystem, New, RANGE, Result, UMASK, without_set_id};

/// The number of a file or directory: its index in [`Model::files`]. Numbers are not reused.
pub type Ino = usize;

pub const ROOT: Ino = 0;

pub struct Model {
    pub files: Vec<File>,
    /// Whether a write keeps set-id bits, as it does for the host's root.
    pub keeps_set_id: bool,
}

#[derive(Clone, Debug)]
pub struct File {
    pub perm: u32,
    pub owner: (u32, u32),
    pub mtime: Time,
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// The number of its names, including those that another layer hides.
    pub links: u32,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub enum Body {
    Dir { entries: BTreeMap<String, Ino>, parent: Ino },
    Regular(Vec<u8>),
    Symlink(String),
    Fifo,
}

impl File {
    pub fn kind(&self) -> Kind {
        match self.body {
            Body::Dir { .. } => Kind::Directory,
            Body::Regular(_) => Kind::Regular,
            Body::Symlink(_) => Kind::Symlink,
            Body::Fifo => Kind::Fifo,
        }
    }

    fn is_dir(&self) -> bool {
        self.kind() == Kind::Directory
    }
}

impl Model {
    /// Every path and whether it is a directory, sorted.
    pub fn paths(&self) -> Vec<(String, bool)> {
        fn into(model: &Model, dir: Ino, below: &str, paths: &mut Vec<(String, bool)>) {
            for (name, &ino) in model.entries(dir) {
                let path = format!("{below}{name}");
                let is_dir = model.files[ino].is_dir();
                paths.push((path.clone(), is_dir));
                if is_dir {
                    into(model, ino, &format!("{path}/"), paths);
                }
            }
        }
        let mut paths = Vec::new();
        into(self, ROOT, "", &mut paths);
        paths
    }

    fn entries(&self, dir: Ino) -> &BTreeMap<String, Ino> {
        match &self.files[dir].body {
            Body::Dir { entries, .. } => entries,
            _ => unreachable!("Linux asks directories alone for names"),
        }
    }

    /// The names of a directory that are about to change.
    fn change_entries(&mut self, dir: Ino) -> &mut BTreeMap<String, Ino> {
        self.files[dir].mtime = Time::New;
        match &mut self.files[dir].body {
            Body::Dir { entries, .. } => entries,
            _ => unreachable!("Linux asks directories alone for names"),
        }
    }

    fn parent_of(&self, dir: Ino) -> Ino {
        match self.files[dir].body {
            Body::Dir { parent, .. } => parent,
            _ => unreachable!("Linux asks directories alone for parents"),
        }
    }

    fn get(&self, dir: Ino, name: &str) -> Option<Ino> {
        self.entries(dir).get(name).copied()
    }

    /// Checks that a directory can take a new name.
    fn check_free(&self, dir: Ino, name: &str) -> Result<()> {
        match self.get(dir, name) {
            Some(_) => Err(Errno::EXIST),
            None => Ok(()),
        }
    }

    fn put(&mut self, dir: Ino, name: &str, ino: Ino) {
        self.change_entries(dir).insert(name.into(), ino);
        if let Body::Dir { parent, .. } = &mut self.files[ino].body {
            *parent = dir;
        }
    }

    fn content_mut(&mut self, ino: Ino) -> &mut Vec<u8> {
        let keeps_set_id = self.keeps_set_id;
        let file = &mut self.files[ino];
        if !keeps_set_id {
            file.perm = without_set_id(file.perm);
        }
        match &mut file.body {
            Body::Regular(content) => content,
            _ => unreachable!("Linux writes to regular files alone"),
        }
    }
}

impl FileSystem for Model {
    type Node = Ino;

    fn root(&self) -> Ino {
        ROOT
    }

    fn lookup(&mut self, dir: Ino, name: &str) -> Result<Option<Ino>> {
        Ok(self.get(dir, name))
    }

    fn parent(&mut self, dir: Ino) -> Result<Ino> {
        Ok(self.parent_of(dir))
    }

    fn attr(&mut self, ino: Ino) -> Result<Attr> {
        let file = &self.files[ino];
        let size = match &file.body {
            Body::Regular(content) => content.len(),
            Body::Symlink(target) => target.len(),
            _ => 0,
        };
        let ((uid, gid), links) = (file.owner, file.links);
        let (kind, perm, mtime) = (file.kind(), file.perm, file.mtime);
        Ok(Attr { kind, perm, uid, gid, links, size: size as u64, mtime, ino: ino as u64 })
    }

    fn target(&mut self, ino: Ino) -> Result<String> {
        match &self.files[ino].body {
            Body::Symlink(target) => Ok(target.clone()),
            _ => Err(Errno::INVAL),
        }
    }

    fn names(&mut self, dir: Ino) -> Result<Vec<Listed>> {
        let listed = |(name, &ino): (&String, &Ino)| Listed {
            name: name.clone(),
            kind: kind_name(self.files[ino].kind()),
            ino: ino as u64,
        };
        Ok(self.entries(dir).iter().map(listed).collect())
    }

    fn content(&mut self, ino: Ino) -> Result<Vec<u8>> {
        match &self.files[ino].body {
            Body::Regular(content) => Ok(content.clone()),
            _ => Err(Errno::INVAL),
        }
    }

    fn xattrs(&mut self, ino: Ino) -> Result<BTreeMap<String, Vec<u8>>> {
        Ok(self.files[ino].xattrs.clone())
    }

    fn create(&mut self, dir: Ino, name: &str, new: New<'_>, perm: u32) -> Result<Ino> {
        const SET_GROUP_ID: u32 = 0o2000;
        self.check_free(dir, name)?;
        let mut perm = if matches!(new, New::Symlink(_)) { 0o777 } else { perm & !UMASK };
        let mut owner = (0, 0);
        if self.files[dir].perm & SET_GROUP_ID != 0 {
            owner.1 = self.files[dir].owner.1;
            if matches!(new, New::Dir) {
                perm |= SET_GROUP_ID;
            }
        }
        let body = match new {
            New::File => Body::Regular(Vec::new()),
            New::Dir => Body::Dir { entries: BTreeMap::new(), parent: dir },
            New::Symlink(target) => Body::Symlink(target.into()),
            New::Fifo => Body::Fifo,
        };
        self.files.push(File { perm, owner, mtime: Time::New, xattrs: BTreeMap::new(), links: 1, body });
        let ino = self.files.len() - 1;
        self.put(dir, name, ino);
        Ok(ino)
    }

    fn link(&mut self, ino: Ino, dir: Ino, name: &str) -> Result<()> {
        self.check_free(dir, name)?;
        if self.files[ino].is_dir() {
            return Err(Errno::PERM);
        }
        self.files[ino].links += 1;
        self.put(dir, name, ino);
        Ok(())
    }

    fn remove(&mut self, dir: Ino, name: &str, what: Remove) -> Result<()> {
        let ino = self.get(dir, name).ok_or(Errno::NOENT)?;
        match (what, self.files[ino].is_dir()) {
            (Remove::File, true) => return Err(Errno::ISDIR),
            (Remove::Dir, false) => return Err(Errno::NOTDIR),
            (Remove::Dir, true) if !self.entries(ino).is_empty() => return Err(Errno::NOTEMPTY),
            _ => {}
        }
        self.change_entries(dir).remove(name);
        self.files[ino].links -= 1;
        Ok(())
    }

    fn rename(&mut self, from: (Ino, &str), to: (Ino, &str), how: How) -> Result<()> {
        let source = self.get(from.0, from.1).ok_or(Errno::NOENT)?;
        let target = self.get(to.0, to.1);
        let Some(target) = target else {
            self.check_free(to.0, to.1)?;
            self.change_entries(from.0).remove(from.1);
            self.put(to.0, to.1, source);
            return Ok(());
        };
        if source == target {
            return Ok(());
        }
        if how == How::Exchange {
            self.put(from.0, from.1, target);
            self.put(to.0, to.1, source);
            return Ok(());
        }
        match (self.files[source].is_dir(), self.files[target].is_dir()) {
            (true, false) => return Err(Errno::NOTDIR),
            (false, true) => return Err(Errno::ISDIR),
            (true, true) if !self.entries(target).is_empty() => return Err(Errno::NOTEMPTY),
            _ => {}
        }
        self.change_entries(from.0).remove(from.1);
        self.put(to.0, to.1, source);
        self.files[target].links -= 1;
        Ok(())
    }

    fn write(&mut self, ino: Ino, offset: u64, data: &[u8]) -> Result<()> {
        let offset = offset as usize;
        let content = self.content_mut(ino);
        let end = offset + data.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset..end].copy_from_slice(data);
        self.files[ino].mtime = Time::New;
        Ok(())
    }

    fn change(&mut self, ino: Ino, change: Change) -> Result<()> {
        if let Some(size) = change.size {
            let content = self.content_mut(ino);
            let changes = content.len() != size as usize;
            content.resize(size as usize, 0);
            // POSIX leaves open whether truncation to the same size changes the mtime.
            self.files[ino].mtime = if changes { Time::New } else { Time::Any };
        }
        let file = &mut self.files[ino];
        file.owner = change.owner.unwrap_or(file.owner);
        file.perm = change.perm.unwrap_or(file.perm);
        if let Some((seconds, nanoseconds)) = change.mtime {
            file.mtime = Time::At(seconds, nanoseconds);
        }
        Ok(())
    }

    fn allocate(&mut self, ino: Ino, how: Allocate, offset: u64, length: u64) -> Result<()> {
        let (offset, end) = (offset as usize, (offset + length) as usize);
        let content = self.content_mut(ino);
        match how {
            Allocate::Extend if content.len() < end => content.resize(end, 0),
            Allocate::PunchHole => {
                let end = end.min(content.len());
                content[offset.min(end)..end].fill(0);
            }
            _ => {}
        }
        self.files[ino].mtime = Time::Any;
        Ok(())
    }

    fn copy_range(&mut self, from: Ino, to: Ino) -> Result<u64> {
        let (read, written, most) = RANGE;
        let content = self.content(from)?;
        let range: Vec<u8> = content.iter().copied().skip(read as usize).take(most as usize).collect();
        if !range.is_empty() {
            self.write(to, written, &range)?;
        }
        Ok(range.len() as u64)
    }

    fn set_xattr(&mut self, ino: Ino, key: &str, value: &[u8], how: Wanted) -> Result<()> {
        let xattrs = &mut self.files[ino].xattrs;
        match (how, xattrs.contains_key(key)) {
            (Wanted::Create, true) => Err(Errno::EXIST),
            (Wanted::Replace, false) => Err(Errno::NODATA),
            _ => {
                xattrs.insert(key.into(), value.into());
                Ok(())
            }
        }
    }

    fn remove_xattr(&mut self, ino: Ino, key: &str) -> Result<()> {
        self.files[ino].xattrs.remove(key).map(drop).ok_or(Errno::NODATA)
    }

    fn settle(&mut self, _held: &[Ino]) {}
}
