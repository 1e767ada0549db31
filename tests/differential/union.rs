//! The union without a mount. As for the model, [`Vfs`](crate::vfs::Vfs) walks the paths.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;

use overfuse::sys::{Errno, Kind, Name, SetTime, Stat, Timestamp};
use overfuse::union::{self, How as UnionHow, Mode, NodeId, Owner, Remove, Slot, Spec, Tables, Union, UpperSpec};

use crate::operations::{Allocate, How, Wanted};
use crate::subject::{Attr, Listed, Time, kind_name};
use crate::support::Layers;
use crate::vfs::{Change, FileSystem, New, RANGE, Result, UMASK};

const ROOT_USER: Owner = Owner { uid: 0, gid: 0 };

pub struct Direct {
    union: Union,
    /// The lookups that were not yet given back, by node.
    known: HashMap<NodeId, u64>,
    /// Gives back all lookups after each operation, except those of open files.
    forgetful: bool,
    /// In seconds; later times are `Time::New`.
    start: i64,
}

impl Direct {
    pub fn open(layers: &Layers, forgetful: bool, start: i64) -> std::result::Result<Direct, String> {
        let (dir, work) = layers.upper.clone().expect("sequences change their stacks");
        // Forgetful unions read lower layers through tables of contents, so that both ways are tested.
        let tables = if forgetful { Tables::Make } else { Tables::None };
        let spec = Spec { upper: Some(UpperSpec { dir, work }), tables, ..Spec::new(layers.lowers.clone()) };
        let union = Union::open(&spec).map_err(|error| error.to_string())?;
        Ok(Direct { union, known: HashMap::new(), forgetful, start })
    }

    fn note(&mut self, attr: union::Attr) -> NodeId {
        *self.known.entry(attr.id).or_default() += 1;
        attr.id
    }

    fn shown(&self, attr: union::Attr) -> Attr {
        let Stat { kind, perm, uid, gid, nlink, size, mtime, .. } = attr.stat;
        let mtime = if mtime.sec >= self.start { Time::New } else { Time::At(mtime.sec, mtime.nsec.into()) };
        Attr { kind, perm, uid, gid, links: nlink, size, mtime, ino: attr.id.0 }
    }
}

impl FileSystem for Direct {
    type Node = NodeId;

    fn root(&self) -> NodeId {
        NodeId::ROOT
    }

    fn lookup(&mut self, dir: NodeId, name: &str) -> Result<Option<NodeId>> {
        let found = self.union.lookup(dir, Name::new(name)?)?;
        Ok(found.map(|attr| self.note(attr)))
    }

    fn parent(&mut self, dir: NodeId) -> Result<NodeId> {
        self.union.parent(dir)
    }

    fn attr(&mut self, node: NodeId) -> Result<Attr> {
        Ok(self.shown(self.union.attr(node)?))
    }

    fn target(&mut self, node: NodeId) -> Result<String> {
        self.union.read_link(node).map(|target| target.display().to_string())
    }

    fn names(&mut self, dir: NodeId) -> Result<Vec<Listed>> {
        let mut names = Vec::new();
        let mut offset = 0;
        loop {
            let items = self.union.read_dir(dir, offset)?;
            let Some(last) = items.last() else { break };
            offset = last.offset;
            names.extend(items.iter().filter(|item| item.entry_name().is_some()).map(|item| Listed {
                name: item.name().display().to_string(),
                kind: kind_name(item.kind),
                ino: item.id.0,
            }));
        }
        names.sort();
        Ok(names)
    }

    fn content(&mut self, node: NodeId) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        let mut buffer = vec![0; 32 << 10];
        loop {
            match self.union.read(node, content.len() as u64, &mut buffer)? {
                0 => return Ok(content),
                count => content.extend_from_slice(&buffer[..count]),
            }
        }
    }

    fn xattrs(&mut self, node: NodeId) -> Result<BTreeMap<String, Vec<u8>>> {
        let keys = self.union.xattrs(node)?;
        keys.into_iter().map(|key| Ok((key.display().to_string(), self.union.xattr(node, &key)?))).collect()
    }

    fn create(&mut self, dir: NodeId, name: &str, new: New<'_>, perm: u32) -> Result<NodeId> {
        let (new, umask) = match new {
            New::File => (union::New::File, UMASK),
            New::Dir => (union::New::Dir, UMASK),
            New::Symlink(target) => (union::New::Symlink { target: OsStr::new(target) }, 0),
            New::Fifo => (union::New::Node { kind: Kind::Fifo, rdev: 0 }, UMASK),
        };
        // The union expects a umask of 0, as in a server; this thread has the umask of the test's programs.
        let masked = rustix::process::umask(rustix::fs::Mode::empty());
        let made = self.union.create(ROOT_USER, dir, Name::new(name)?, new, Mode { perm, umask });
        rustix::process::umask(masked);
        Ok(self.note(made?))
    }

    fn link(&mut self, node: NodeId, dir: NodeId, name: &str) -> Result<()> {
        let linked = self.union.link(node, dir, Name::new(name)?)?;
        self.note(linked);
        Ok(())
    }

    fn remove(&mut self, dir: NodeId, name: &str, what: Remove) -> Result<()> {
        self.union.remove(dir, Name::new(name)?, what)
    }

    fn rename(&mut self, from: (NodeId, &str), to: (NodeId, &str), how: How) -> Result<()> {
        let how = match how {
            How::Replace => UnionHow::Replace,
            How::NoReplace => UnionHow::NoReplace,
            How::Exchange => UnionHow::Exchange,
        };
        let (from, to) = (Slot { dir: from.0, name: Name::new(from.1)? }, Slot { dir: to.0, name: Name::new(to.1)? });
        self.union.rename(from, to, how)
    }

    fn write(&mut self, node: NodeId, offset: u64, data: &[u8]) -> Result<()> {
        let count = self.union.write(node, offset, data)?;
        if count == data.len() { Ok(()) } else { Err(Errno::IO) }
    }

    fn change(&mut self, node: NodeId, change: Change) -> Result<()> {
        let time = |(sec, nsec): (i64, i64)| SetTime::To(Timestamp { sec, nsec: nsec as u32 });
        let change = union::Change {
            perm: change.perm,
            uid: change.owner.map(|owner| owner.0),
            gid: change.owner.map(|owner| owner.1),
            size: change.size,
            atime: change.mtime.map_or(SetTime::Keep, time),
            mtime: change.mtime.map_or(SetTime::Keep, time),
        };
        self.union.change(node, change).map(drop)
    }

    fn allocate(&mut self, node: NodeId, how: Allocate, offset: u64, length: u64) -> Result<()> {
        self.union.allocate(node, how.flags().bits(), offset, length)
    }

    fn copy_range(&mut self, from: NodeId, to: NodeId) -> Result<u64> {
        let (read, written, most) = RANGE;
        self.union.copy_range((from, read), (to, written), most).map(|count| count as u64)
    }

    fn set_xattr(&mut self, node: NodeId, key: &str, value: &[u8], how: Wanted) -> Result<()> {
        let how = match how {
            Wanted::Any => union::Wanted::Any,
            Wanted::Create => union::Wanted::Create,
            Wanted::Replace => union::Wanted::Replace,
        };
        self.union.set_xattr(node, OsStr::new(key), value, how)
    }

    fn remove_xattr(&mut self, node: NodeId, key: &str) -> Result<()> {
        self.union.remove_xattr(node, OsStr::new(key))
    }

    fn settle(&mut self, held: &[NodeId]) {
        if self.forgetful {
            let given_back: Vec<(NodeId, u64)> = self.known.extract_if(|id, _| !held.contains(id)).collect();
            for (id, count) in given_back {
                self.union.forget(id, count);
            }
        }
    }
}
