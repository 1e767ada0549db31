//! What the sweep does.

use std::ffi::OsStr;

use overfuse::sys::{Errno, FileFlags, Kind, Name, Result, SetTime, Timestamp};
use overfuse::union::{Change, How, Mode, New, NodeId, Owner, Remove, Slot, Union, Wanted};

const OWNER: Owner = Owner { uid: 7, gid: 8 };
const MODE: Mode = Mode { perm: 0o640, umask: 0 };

pub struct Operation {
    pub name: &'static str,
    /// A metacopy whose data this brings.
    pub completes: Option<&'static str>,
    /// Takes several steps, which an error undoes; a death between them leaves some of them.
    pub in_steps: bool,
    /// Makes what only a union like this one shows: the kernel's shows what stands for it.
    pub is_ours: bool,
    pub act: fn(&Union) -> Result<()>,
}

pub fn node(union: &Union, path: &str) -> Result<NodeId> {
    path.split('/')
        .filter(|step| !step.is_empty())
        .try_fold(NodeId::ROOT, |dir, step| Ok(union.lookup(dir, Name::new(step)?)?.ok_or(Errno::NOENT)?.id))
}

pub fn slot<'a>(union: &Union, path: &'a str) -> Result<Slot<'a>> {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    Ok(Slot { dir: node(union, dir)?, name: Name::new(name)? })
}

pub fn create(union: &Union, path: &str, new: New<'_>) -> Result<()> {
    let slot = slot(union, path)?;
    union.create(OWNER, slot.dir, slot.name, new, MODE).map(drop)
}

pub fn remove(union: &Union, path: &str, kind: Remove) -> Result<()> {
    let slot = slot(union, path)?;
    union.remove(slot.dir, slot.name, kind)
}

pub fn rename(union: &Union, from: &str, to: &str, how: How) -> Result<()> {
    union.rename(slot(union, from)?, slot(union, to)?, how)
}

pub fn link(union: &Union, from: &str, to: &str) -> Result<()> {
    let slot = slot(union, to)?;
    union.link(node(union, from)?, slot.dir, slot.name).map(drop)
}

pub fn write(union: &Union, path: &str) -> Result<()> {
    union.write(node(union, path)?, 1, b"written").map(drop)
}

pub fn change(union: &Union, path: &str, change: Change) -> Result<()> {
    union.change(node(union, path)?, change).map(drop)
}

pub fn size(size: u64) -> Change {
    Change { size: Some(size), ..Change::default() }
}

pub fn perm() -> Change {
    Change { perm: Some(0o604), ..Change::default() }
}

pub fn owner() -> Change {
    Change { uid: Some(11), gid: Some(12), ..Change::default() }
}

fn times() -> Change {
    let time = SetTime::To(Timestamp { sec: 1000, nsec: 0 });
    Change { atime: time, mtime: time, ..Change::default() }
}

fn all() -> Change {
    Change { perm: Some(0o4604), ..owner() }
}

pub fn everything() -> Change {
    Change { perm: Some(0o604), ..Change { uid: Some(11), gid: Some(12), ..times() } }
}

/// `chattr +d` and `+i`.
pub fn set_flags(union: &Union, path: &str, flags: u32) -> Result<()> {
    union.set_flags(node(union, path)?, FileFlags(flags))
}

pub const NO_DUMP: u32 = 0x40;
pub const IMMUTABLE: u32 = 0x10;

pub fn rename_leaving(union: &Union, from: &str, to: &str) -> Result<()> {
    union.rename_leaving_whiteout(OWNER, slot(union, from)?, slot(union, to)?, How::Replace)
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
        b"write hard-linked" | b"empty hard-linked" => Some("/h"),
        b"write metacopy" | b"empty metacopy" => Some("/meta"),
        _ => None,
    }
}

const fn in_steps(name: &str) -> bool {
    matches!(
        name.as_bytes(),
        b"owner and perm upper"
            | b"everything upper"
            | b"everything lower dir"
            | b"set flags"
            | b"leave whiteout"
            | b"empty metacopy"
            | b"empty hard-linked"
    )
}

const fn is_ours(name: &str) -> bool {
    matches!(name.as_bytes(), b"leave whiteout")
}

macro_rules! operations {
    ($($name:literal $act:expr,)*) => {
        pub const OPERATIONS: &[Operation] = &[$(Operation { name: $name, completes: completes($name), in_steps: in_steps($name), is_ours: is_ours($name), act: $act }),*];
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
    "write metacopy" |u| write(u, "meta"),
    "empty upper" |u| change(u, "above", size(0)),
    "empty lower" |u| change(u, "below", size(0)),
    "empty metacopy" |u| change(u, "meta", size(0)),
    "empty hard-linked" |u| change(u, "h2", size(0)),
    "perm lower" |u| change(u, "below", perm()),
    "perm hard-linked" |u| change(u, "h2", perm()),
    "owner lower" |u| change(u, "other", owner()),
    "owner upper dir" |u| change(u, "dir", owner()),
    "owner and perm upper" |u| change(u, "above", all()),
    "everything upper" |u| change(u, "above", everything()),
    "everything lower dir" |u| change(u, "ldir", everything()),
    "times lower" |u| change(u, "below", times()),
    "times lower dir" |u| change(u, "ldir", times()),
    "setxattr upper" |u| set_xattr(u, "above"),
    "setxattr redirected" |u| set_xattr(u, "redirected"),
    "setxattr symlink" |u| set_xattr(u, "link"),
    "removexattr lower" |u| u.remove_xattr(node(u, "below")?, OsStr::new("user.k")),
    "set flags" |u| set_flags(u, "other", NO_DUMP | IMMUTABLE),
    "protect upper" |u| set_flags(u, "above", IMMUTABLE),
    "protect lower dir" |u| set_flags(u, "ldir", IMMUTABLE),
    "leave whiteout" |u| rename_leaving(u, "below", "dir/new"),
    "allocate lower" |u| u.allocate(node(u, "below")?, 0, 0, 100),
    "copy range" |u| u.copy_range((node(u, "below")?, 0), (node(u, "above")?, 0), 5).map(drop),
    "fsync" |u| u.sync(node(u, "above")?, false),
}
