//! Copies from one tree to another, through the unions: with copy-up, whiteouts and owners as a mount would make them.

use std::ffi::OsString;
use std::path::Path;

use super::{BUFFER, CopyOptions, Found, LINKS_MAX, ROOT, Tree, hides, may_include, parts};
use crate::sys::{Errno, Kind, Name, Result, SetTime, Timestamp};
use crate::union::{Attr, Change, Mode, New, NodeId, Owner};

impl Tree {
    /// Makes the directory `path` and its missing parents, with mode 755; they belong to `owner` if it is given.
    pub(in crate::build) fn make_dirs(&self, path: &str, owner: Option<Owner>) -> Result<Found> {
        self.make_dirs_through(path, owner, LINKS_MAX)
    }

    /// As [`make_dirs`](Self::make_dirs); a link to what does not exist yet is followed, `links` times at most.
    fn make_dirs_through(&self, path: &str, owner: Option<Owner>, links: usize) -> Result<Found> {
        let mut at = String::new();
        let mut found = Found { path: Vec::new(), attr: self.union.attr(NodeId::ROOT)? };
        for part in parts(path.as_ref()) {
            at = format!("{at}/{}", part.to_string_lossy());
            found = match self.resolve(&at)? {
                Some(below) if below.attr.stat.kind == Kind::Directory => below,
                Some(_) => return Err(Errno::NOTDIR),
                None if self.is_link(&found, &part)? => {
                    let dir = found.path.join("/".as_ref());
                    let attr = self.union.lookup(found.attr.id, Name::new(&part)?)?.ok_or(Errno::NOENT)?;
                    let target = self.union.read_link(attr.id)?;
                    let target = Path::new("/").join(dir).join(target);
                    let left = links.checked_sub(1).ok_or(Errno::LOOP)?;
                    self.make_dirs_through(&target.to_string_lossy(), owner, left)?
                }
                None => {
                    let owner = owner.unwrap_or(ROOT);
                    let mode = Mode { perm: 0o755, umask: 0 };
                    let attr = self.union.create(owner, found.attr.id, Name::new(&part)?, New::Dir, mode)?;
                    Found { path: found.path.into_iter().chain([part]).collect(), attr }
                }
            };
        }
        Ok(found)
    }

    fn is_link(&self, dir: &Found, name: &OsString) -> Result<bool> {
        let there = self.union.lookup(dir.attr.id, Name::new(name)?)?;
        Ok(there.is_some_and(|there| there.stat.kind == Kind::Symlink))
    }

    /// Copies `from`, an entry of `source`, to the name `name` in `dir`; directories merge with what is there.
    pub(in crate::build) fn copy(
        &self,
        (source, from): (&Tree, &Found),
        (dir, name): (&Found, &OsString),
        options: &CopyOptions,
    ) -> Result<()> {
        let mut made: Vec<(usize, NodeId)> = Vec::new();
        let mut times: Vec<(NodeId, Timestamp)> = Vec::new();
        source.walk(from, (&options.exclude, options.base), &mut |path, attr| {
            let depth = path.len() - from.path.len();
            made.retain(|(level, _)| *level < depth);
            let parent = match (depth, made.last()) {
                (0, _) => dir.attr.id,
                (_, Some((_, id))) => *id,
                (_, None) => return Err(Errno::NOENT),
            };
            let name = if depth == 0 { name } else { path.last().unwrap_or(name) };
            let copied = self.copy_one(source, &attr, (parent, Name::new(name)?), options)?;
            if let Some(id) = copied {
                times.push((id, attr.stat.mtime));
                if attr.stat.kind == Kind::Directory {
                    made.push((depth, id));
                }
            }
            Ok(())
        })?;
        // Children first: adding an entry changes the time of its directory.
        for (id, mtime) in times.into_iter().rev() {
            self.union.change(id, Change { mtime: SetTime::To(mtime), ..Change::default() })?;
        }
        Ok(())
    }

    /// Copies what is in the directory `from` into the directory `dir`.
    pub(in crate::build) fn copy_children(
        &self,
        source: &Tree,
        from: &Found,
        dir: &Found,
        options: &CopyOptions,
    ) -> Result<()> {
        for name in source.names(from.attr.id)? {
            let Some(attr) = source.union.lookup(from.attr.id, Name::new(&name)?)? else { continue };
            let path: Vec<OsString> = from.path.iter().cloned().chain([name.clone()]).collect();
            let excluded = hides(&options.exclude, &path[options.base..]);
            if source.is_ignored(&path) || ((source.hides(&path) || excluded) && attr.stat.kind != Kind::Directory) {
                continue;
            }
            if excluded && !may_include(&options.exclude, &path[options.base..]) {
                continue;
            }
            self.copy((source, &Found { path, attr }), (dir, &name), options)?;
        }
        Ok(())
    }

    /// Copies one entry without its children. `None` for what is not copied: sockets.
    fn copy_one(
        &self,
        source: &Tree,
        attr: &Attr,
        (dir, name): (NodeId, Name<'_>),
        options: &CopyOptions,
    ) -> Result<Option<NodeId>> {
        let stat = &attr.stat;
        let owner = options.owner.unwrap_or(Owner { uid: stat.uid, gid: stat.gid });
        let perm = options.perm.unwrap_or(stat.perm);
        let there = self.union.lookup(dir, name)?;
        if let (Kind::Directory, Some(there)) = (stat.kind, there)
            && there.stat.kind == Kind::Directory
        {
            let (uid, gid) = (Some(owner.uid), Some(owner.gid));
            self.union.change(there.id, Change { perm: Some(perm), uid, gid, ..Change::default() })?;
            return Ok(Some(there.id));
        }
        let new = match stat.kind {
            Kind::Socket => return Ok(None),
            Kind::Directory => New::Dir,
            Kind::Regular => New::File,
            Kind::Symlink => New::Symlink { target: &source.union.read_link(attr.id)? },
            kind => New::Node { kind, rdev: stat.rdev },
        };
        if let Some(there) = there {
            match there.stat.kind {
                Kind::Directory => return Err(Errno::ISDIR),
                _ if stat.kind == Kind::Directory => return Err(Errno::NOTDIR),
                _ => self.union.remove(dir, name, crate::union::Remove::File)?,
            }
        }
        let made = self.union.create(owner, dir, name, new, Mode { perm, umask: 0 })?;
        if stat.kind == Kind::Regular {
            let mut buffer = vec![0; BUFFER.min(usize::try_from(stat.size.max(1)).unwrap_or(BUFFER))];
            let mut offset = 0;
            loop {
                let read = source.union.read(attr.id, offset, &mut buffer)?;
                if read == 0 {
                    break;
                }
                self.write(made.id, offset, &buffer[..read])?;
                offset += read as u64;
            }
        }
        for key in source.kept_xattrs(attr.id)? {
            let value = source.union.xattr(attr.id, &key)?;
            match self.union.set_xattr(made.id, &key, &value, crate::sys::xattr::Set::Any) {
                // As docker does where the file system has none, or where this user may not set it.
                Err(Errno::NOTSUP | Errno::PERM) => {}
                set => set?,
            }
        }
        Ok(Some(made.id))
    }

    /// Makes a file with this content; replaces one that is there.
    pub(in crate::build) fn write_file(
        &self,
        (dir, name): (&Found, &str),
        content: &[u8],
        owner: Owner,
        perm: u32,
    ) -> Result<NodeId> {
        let name = Name::new(name)?;
        match self.union.lookup(dir.attr.id, name)? {
            Some(there) if there.stat.kind == Kind::Directory => return Err(Errno::ISDIR),
            Some(_) => self.union.remove(dir.attr.id, name, crate::union::Remove::File)?,
            None => {}
        }
        let made = self.union.create(owner, dir.attr.id, name, New::File, Mode { perm, umask: 0 })?;
        self.write(made.id, 0, content)?;
        Ok(made.id)
    }

    fn write(&self, id: NodeId, mut offset: u64, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            let written = self.union.write(id, offset, data)?;
            data = &data[written..];
            offset += written as u64;
        }
        Ok(())
    }
}
