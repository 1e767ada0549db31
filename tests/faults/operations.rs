//! What the sweep does.

use std::ffi::OsStr;

use overfuse::sys::{Errno, Kind, Name, Result, SetTime, Timestamp};
use overfuse::union::{Change, How, Mode, New, NodeId, Owner, Remove, Slot, Union, Wanted};

const OWNER: Owner = Owner { uid: 7, gid: 8 };
const MODE: Mode = Mode { perm: 0o640, umask: 0 };

pub struct Operation {
    pub name: &'static str,
    /// A metacopy whose data this brings.
    pub completes: Option<&'static str>,
    pub act: fn(&Union) -> Result<()>,
}

fn node(union: &Union, path: &str) -> Result<NodeId> {
    path.split('/')
        .filter(|step| !step.is_empty())
        .try_fold(NodeId::ROOT, |dir, step| Ok(union.lookup(dir, Name::new(step)?)?.ok_or(Errno::NOENT)?.id))
}

fn slot<'a>(union: &Union, path: &'a str) -> Result<Slot<'a>> {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    Ok(Slot { dir: node(union, dir)?, name: Name::new(name)? })
}

fn create(union: &Union, path: &str, new: New<'_>) -> Result<()> {
    let slot = slot(union, path)?;
    union.create(OWNER, slot.dir, slot.name, new, MODE).map(drop)
}

fn remove(union: &Union, path: &str, kind: Remove) -> Result<()> {
    let slot = slot(union, path)?;
    union.remove(slot.dir, slot.name, kind)
}

fn rename(union: &Union, from: &str, to: &str, how: How) -> Result<()> {
    union.rename(slot(union, from)?, slot(union, to)?, how)
}

fn link(union: &Union, from: &str, to: &str) -> Result<()> {
    let slot = slot(union, to)?;
    union.link(node(union, from)?, slot.dir, slot.name).map(drop)
}

fn write(union: &Union, path: &str) -> Result<()> {
    union.write(node(union, path)?, 1, b"written").map(drop)
}

fn change(union: &Union, path: &str, change: Change) -> Result<()> {
    union.change(node(union, path)?, change).map(drop)
}

fn size(size: u64) -> Change {
    Change { size: Some(size), ..Change::default() }
}

fn perm() -> Change {
    Change { perm: Some(0o604), ..Change::default() }
}

fn owner() -> Change {
    Change { uid: Some(11), gid: Some(12), ..Change::default() }
}

fn times() -> Change {
    let time = SetTime::To(Timestamp { sec: 1000, nsec: 0 });
    Change { atime: time, mtime: time, ..Change::default() }
}

fn set_xattr(union: &Union, path: &str) -> Result<()> {
    union.set_xattr(node(union, path)?, OsStr::new("trusted.t"), b"value", Wanted::Any)
}

/// The upper in which each operation begins.
pub fn prepare(union: &Union) -> Result<()> {
    create(union, "above", New::File)?;
    write(union, "above")?;
    create(union, "dir", New::Dir)?;
    create(union, "dir/in", New::File)?;
    create(union, "bare", New::Dir)?;
    change(union, "meta", perm())?;
    change(union, "h1", perm())?;
    rename(union, "old", "redirected", How::Replace)?;
    create(union, "merged/high", New::File)?;
    remove(union, "merged/gone", Remove::File)?;
    remove(union, "whiteouts/gone", Remove::File)
}

const fn completes(name: &str) -> Option<&'static str> {
    match name.as_bytes() {
        b"write hard-linked" => Some("/h"),
        _ => None,
    }
}

macro_rules! operations {
    ($($name:literal $act:expr,)*) => {
        pub const OPERATIONS: &[Operation] = &[$(Operation { name: $name, completes: completes($name), act: $act }),*];
    };
}

operations! {
    "create" |u| create(u, "new", New::File),
    "create in lower" |u| create(u, "ldir/new", New::File),
    "create over whiteout" |u| create(u, "merged/gone", New::File),
    "create like a whiteout" |u| create(u, "merged/.wh.x", New::File),
    "mkdir" |u| create(u, "new", New::Dir),
    "mkdir over whiteout" |u| create(u, "merged/gone", New::Dir),
    "symlink" |u| create(u, "new", New::Symlink { target: OsStr::new("there") }),
    "fifo" |u| create(u, "new", New::Node { kind: Kind::Fifo, rdev: 0 }),
    "link upper" |u| link(u, "above", "new"),
    "link lower" |u| link(u, "below", "ldir/new"),
    "link hard-linked" |u| link(u, "h2", "new"),
    "link metacopy over whiteout" |u| link(u, "meta", "merged/gone"),
    "unlink upper" |u| remove(u, "above", Remove::File),
    "unlink lower" |u| remove(u, "below", Remove::File),
    "unlink in lower" |u| remove(u, "ldir/in", Remove::File),
    "unlink merged" |u| remove(u, "merged/low", Remove::File),
    "unlink hard-linked" |u| remove(u, "h2", Remove::File),
    "unlink metacopy" |u| remove(u, "meta", Remove::File),
    "unlink redirected" |u| remove(u, "redirected/in", Remove::File),
    "unlink all hard-linked" |u| remove(u, "h1", Remove::File),
    "rmdir upper" |u| remove(u, "bare", Remove::Dir),
    "rmdir lower" |u| remove(u, "empty", Remove::Dir),
    "rmdir of whiteouts" |u| remove(u, "whiteouts", Remove::Dir),
    "rename upper" |u| rename(u, "above", "new", How::Replace),
    "rename lower" |u| rename(u, "below", "new", How::Replace),
    "rename lower into lower" |u| rename(u, "below", "ldir/in", How::Replace),
    "rename over lower" |u| rename(u, "above", "below", How::Replace),
    "rename over hard-linked" |u| rename(u, "above", "h2", How::Replace),
    "rename hard-linked" |u| rename(u, "h2", "new", How::Replace),
    "rename metacopy" |u| rename(u, "meta", "dir/new", How::Replace),
    "rename noreplace" |u| rename(u, "above", "merged/gone", How::NoReplace),
    "rename dir" |u| rename(u, "dir", "merged/gone", How::Replace),
    "rename lower dir" |u| rename(u, "ldir", "merged/new", How::Replace),
    "rename redirected" |u| rename(u, "redirected", "dir/new", How::Replace),
    "rename dir over whiteouts" |u| rename(u, "dir", "whiteouts", How::Replace),
    "exchange" |u| rename(u, "above", "below", How::Exchange),
    "exchange dirs" |u| rename(u, "dir", "ldir", How::Exchange),
    "write upper" |u| write(u, "above"),
    "write lower" |u| write(u, "below"),
    "write in lower" |u| write(u, "ldir/in"),
    "write hard-linked" |u| write(u, "h3"),
    "truncate upper" |u| change(u, "above", size(3)),
    "truncate lower" |u| change(u, "below", size(3)),
    "perm lower" |u| change(u, "below", perm()),
    "perm hard-linked" |u| change(u, "h2", perm()),
    "owner lower" |u| change(u, "other", owner()),
    "owner upper dir" |u| change(u, "dir", owner()),
    "times lower" |u| change(u, "below", times()),
    "times lower dir" |u| change(u, "ldir", times()),
    "setxattr upper" |u| set_xattr(u, "above"),
    "setxattr redirected" |u| set_xattr(u, "redirected"),
    "setxattr symlink" |u| set_xattr(u, "link"),
    "removexattr lower" |u| u.remove_xattr(node(u, "below")?, OsStr::new("user.k")),
    "allocate lower" |u| u.allocate(node(u, "below")?, 0, 0, 100),
    "copy range" |u| u.copy_range((node(u, "below")?, 0), (node(u, "above")?, 0), 5).map(drop),
    "fsync" |u| u.sync(node(u, "above")?, false),
}
