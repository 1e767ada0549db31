//! Random operations over the same few names, some of them through files that are kept open.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use rustix::fs::{FallocateFlags, FileType, OFlags, RenameFlags, XattrFlags};

use crate::deliberate;
use crate::layers::{length, mode, name, owner, target};
use crate::support::tree::{walk, word};
use crate::support::{At, Outcome};

/// How many files can be kept open at once.
const SLOTS: usize = 3;

#[derive(Clone, Debug)]
pub enum Operation {
    Create { path: String, mode: u32, length: usize },
    Mkdir { path: String, mode: u32 },
    Symlink { target: &'static str, path: String },
    Fifo { path: String },
    Link { from: String, to: String },
    Unlink { path: String },
    Rmdir { path: String },
    RemoveTree { path: String },
    Rename { from: String, to: String, how: How },
    Write { path: String, length: usize },
    WriteAt { path: String, offset: usize },
    Append { path: String },
    Truncate { path: String, length: usize },
    PunchHole { path: String },
    CopyRange { from: String, to: String },
    Chmod { path: String, mode: u32 },
    Chown { path: String, owner: (u32, u32) },
    Utimes { path: String },
    SetXattr { path: String, create: bool },
    RemoveXattr { path: String },
    List { path: String },
    Stat { path: String },
    Open { slot: usize, path: String, writable: bool },
    ReadOpen { slot: usize },
    WriteOpen { slot: usize, offset: usize },
    TruncateOpen { slot: usize, length: usize },
    StatOpen { slot: usize },
    Remount,
}

#[derive(Clone, Copy, Debug)]
pub enum How {
    Replace,
    NoReplace,
    Exchange,
}

pub fn any() -> impl Strategy<Value = Vec<Operation>> {
    vec(operation(), 1..25)
}

/// A path to be made: mostly a name in a directory that exists.
fn fresh() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (0..100usize, name()).prop_map(|(directory, name)| format!("{DIRECTORY}{directory}/{name}")),
        1 => path(),
    ]
}

/// A path to be used: mostly one that exists.
fn present() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (0..100usize).prop_map(|entry| format!("{ENTRY}{entry}")),
        1 => path(),
    ]
}

fn path() -> impl Strategy<Value = String> {
    vec(name(), 1..=3).prop_map(|names| names.join("/"))
}

/// `#7`: the seventh entry of the tree at that moment; `%7`: its seventh directory.
const ENTRY: char = '#';
const DIRECTORY: char = '%';

/// What a path stands for in a tree that has `entries`.
fn resolve(path: &str, entries: &[PathBuf], root: &Path) -> String {
    let (sign, rest) = path.split_at(1);
    let sign = sign.chars().next().expect("no path is empty");
    let (number, below) = rest.split_once('/').unwrap_or((rest, ""));
    let is_dir = |path: &&PathBuf| root.join(path).symlink_metadata().is_ok_and(|meta| meta.is_dir());
    let top = PathBuf::new();
    let found: Vec<&PathBuf> = match sign {
        ENTRY => entries.iter().collect(),
        DIRECTORY => std::iter::once(&top).chain(entries.iter().filter(is_dir)).collect(),
        _ => return path.into(),
    };
    let number: usize = number.parse().expect("a number follows the sign");
    let Some(chosen) = number.checked_rem(found.len()).and_then(|index| found.get(index)) else { return "a".into() };
    if below.is_empty() { chosen.display().to_string() } else { chosen.join(below).display().to_string() }
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let slot = || 0..SLOTS;
    let offset = || length();
    let how = prop::sample::select(&[How::Replace, How::Replace, How::NoReplace, How::Exchange][..]);
    let making = prop_oneof![
        4 => (fresh(), mode(), length()).prop_map(|(path, mode, length)| Create { path, mode, length }),
        4 => (fresh(), mode()).prop_map(|(path, mode)| Mkdir { path, mode }),
        1 => (target(), fresh()).prop_map(|(target, path)| Symlink { target, path }),
        1 => fresh().prop_map(|path| Fifo { path }),
        3 => (present(), fresh()).prop_map(|(from, to)| Link { from, to }),
    ];
    let removing = prop_oneof![
        6 => present().prop_map(|path| Unlink { path }),
        3 => present().prop_map(|path| Rmdir { path }),
        2 => present().prop_map(|path| RemoveTree { path }),
        8 => (present(), prop_oneof![fresh(), present()], how).prop_map(|(from, to, how)| Rename { from, to, how }),
    ];
    let changing = prop_oneof![
        2 => (present(), length()).prop_map(|(path, length)| Write { path, length }),
        2 => (present(), offset()).prop_map(|(path, offset)| WriteAt { path, offset }),
        2 => present().prop_map(|path| Append { path }),
        1 => (present(), length()).prop_map(|(path, length)| Truncate { path, length }),
        1 => present().prop_map(|path| PunchHole { path }),
        1 => (present(), present()).prop_map(|(from, to)| CopyRange { from, to }),
        2 => (present(), mode()).prop_map(|(path, mode)| Chmod { path, mode }),
        1 => (present(), owner()).prop_map(|(path, owner)| Chown { path, owner }),
        1 => present().prop_map(|path| Utimes { path }),
        1 => (present(), prop::bool::ANY).prop_map(|(path, create)| SetXattr { path, create }),
        1 => present().prop_map(|path| RemoveXattr { path }),
    ];
    let looking = prop_oneof![
        2 => present().prop_map(|path| List { path }),
        1 => present().prop_map(|path| Stat { path }),
    ];
    let keeping_open = prop_oneof![
        4 => (slot(), present(), prop::bool::ANY).prop_map(|(slot, path, writable)| Open { slot, path, writable }),
        2 => slot().prop_map(|slot| ReadOpen { slot }),
        3 => (slot(), offset()).prop_map(|(slot, offset)| WriteOpen { slot, offset }),
        1 => (slot(), length()).prop_map(|(slot, length)| TruncateOpen { slot, length }),
        1 => slot().prop_map(|slot| StatOpen { slot }),
    ];
    prop_oneof![12 => making, 16 => removing, 12 => changing, 3 => looking, 8 => keeping_open, 1 => Just(Remount)]
}

/// Files kept open below one mount.
#[derive(Default)]
pub struct Slots([Option<File>; SLOTS]);

impl Slots {
    fn with(&mut self, slot: usize, operate: impl FnOnce(&mut File) -> io::Result<String>) -> io::Result<String> {
        self.0[slot].as_mut().map_or(Ok("nothing is open".into()), operate)
    }

    /// Closes all of them.
    pub fn close(&mut self) {
        self.0 = Default::default();
    }
}

impl Operation {
    /// The same operation, on paths as they are in the tree at `root`.
    pub fn resolved(&self, root: &Path) -> Operation {
        let mut operation = self.clone();
        let entries = walk(root);
        for path in operation.paths() {
            *path = resolve(path, &entries, root);
        }
        operation
    }

    fn paths(&mut self) -> Vec<&mut String> {
        use Operation::*;
        match self {
            Link { from, to } | Rename { from, to, .. } | CopyRange { from, to } => vec![from, to],
            Create { path, .. } | Mkdir { path, .. } | Symlink { path, .. } | Fifo { path } | Unlink { path } => {
                vec![path]
            }
            Rmdir { path } | RemoveTree { path } | Write { path, .. } | WriteAt { path, .. } | Append { path } => {
                vec![path]
            }
            Truncate { path, .. } | PunchHole { path } | Chmod { path, .. } | Chown { path, .. } => vec![path],
            Utimes { path } | SetXattr { path, .. } | RemoveXattr { path } | List { path } | Stat { path } => {
                vec![path]
            }
            Open { path, .. } => vec![path],
            ReadOpen { .. } | WriteOpen { .. } | TruncateOpen { .. } | StatOpen { .. } | Remount => Vec::new(),
        }
    }

    /// Does it. `Remount` is for the caller to do.
    pub fn apply(&self, at: &At, slots: &mut Slots) -> Outcome {
        use Operation::*;
        match self {
            Create { path, mode, length } => at.create(path, *mode, &"n".repeat(*length)),
            Mkdir { path, mode } => at.mkdir(path, *mode),
            Symlink { target, path } => at.symlink(target, path),
            Fifo { path } => at.mknod(path, FileType::Fifo, 0o640, (0, 0)),
            Link { from, to } => at.link(from, to),
            Unlink { path } => at.unlink(path),
            Rmdir { path } => at.rmdir(path),
            RemoveTree { path } => at.note(self, std::fs::remove_dir_all(at.path(path)).map(|()| "")),
            Rename { from, to, how } => at.rename_with(from, to, how.flags()),
            Write { path, length } => self.on_file(at, path, true, |file| {
                file.set_len(0)?;
                file.write_all("w".repeat(*length).as_bytes())
            }),
            WriteAt { path, offset } => {
                self.on_file(at, path, true, |file| file.write_all_at(b"written", *offset as u64))
            }
            Append { path } => self.on_file(at, path, true, |file| {
                file.seek(SeekFrom::End(0))?;
                file.write_all(b"appended")
            }),
            Truncate { path, length } => self.on_file(at, path, true, |file| file.set_len(*length as u64)),
            PunchHole { path } => self.on_file(at, path, true, |file| {
                let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                Ok(rustix::fs::fallocate(file, how, 0, 4096)?)
            }),
            CopyRange { from, to } => {
                let copied = open(at, from, false).and_then(|source| {
                    let target = open(at, to, true)?;
                    let (mut read, mut written) = (1, 2);
                    Ok(rustix::fs::copy_file_range(source, Some(&mut read), target, Some(&mut written), 5000)?)
                });
                at.note(self, copied.map(|count| count.to_string()))
            }
            Chmod { path, mode } => at.chmod(path, *mode),
            Chown { path, owner } => at.chown(path, owner.0, owner.1),
            Utimes { path } => at.utimes(path, 1_100_000_000, 123_456_789),
            SetXattr { path, create } => {
                at.set_xattr(path, "user.set", "value", if *create { XattrFlags::CREATE } else { XattrFlags::empty() })
            }
            RemoveXattr { path } => at.remove_xattr(path, "user.layer"),
            List { path } => at.note(self, deliberate::list(&at.path(path))),
            Stat { path } => at.stat(path),
            Open { slot, path, writable } => {
                let opened = open(at, path, *writable);
                let outcome = opened
                    .as_ref()
                    .map(|_| "")
                    .map_err(|error| io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(0)));
                slots.0[*slot] = opened.ok();
                at.note(self, outcome)
            }
            ReadOpen { slot } => at.note(
                self,
                slots.with(*slot, |file| {
                    let mut content = Vec::new();
                    file.seek(SeekFrom::Start(0))?;
                    file.read_to_end(&mut content)?;
                    Ok(word(&content))
                }),
            ),
            WriteOpen { slot, offset } => at.note(
                self,
                slots.with(*slot, |file| file.write_all_at(b"held", *offset as u64).map(|()| String::new())),
            ),
            TruncateOpen { slot, length } => {
                at.note(self, slots.with(*slot, |file| file.set_len(*length as u64).map(|()| String::new())))
            }
            StatOpen { slot } => at.note(
                self,
                slots.with(*slot, |file| {
                    let meta = file.metadata()?;
                    Ok(format!(
                        "{:o} {}:{} {} bytes links={}",
                        meta.mode(),
                        meta.uid(),
                        meta.gid(),
                        meta.size(),
                        meta.nlink()
                    ))
                }),
            ),
            Remount => at.note(self, Ok("")),
        }
    }

    fn on_file(
        &self,
        at: &At,
        path: &str,
        writable: bool,
        operate: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Outcome {
        at.note(self, open(at, path, writable).and_then(|mut file| operate(&mut file)).map(|()| ""))
    }
}

/// Opens a file of any kind without waiting for the other end of a fifo.
fn open(at: &At, path: &str, writable: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).write(writable).custom_flags(flags).open(at.path(path))?;
    if writable {
        deliberate::bring_up(&file)?;
    }
    Ok(file)
}

impl How {
    fn flags(self) -> RenameFlags {
        match self {
            How::Replace => RenameFlags::empty(),
            How::NoReplace => RenameFlags::NOREPLACE,
            How::Exchange => RenameFlags::EXCHANGE,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
