//! Random operations. They use few names, so that they affect each other, and mostly paths that exist.

use proptest::collection::vec;
use proptest::prelude::*;
use rustix::fs::OFlags;

use crate::layers::{KEYS, mode, name, owner, target};
use crate::operations::{Allocate, How, OPEN, Operation, SLOTS, Wanted};

pub fn any(most: usize) -> impl Strategy<Value = Vec<Operation>> {
    vec(operation(), 1..most)
}

/// `#7`: the seventh path of the tree at that moment; `%7`: its seventh directory; `&7`: its seventh
/// entry that is not a directory.
const ENTRY: char = '#';
const FILE: char = '&';
const DIRECTORY: char = '%';

/// A path for a new entry: mostly a name in an existing directory.
fn fresh() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => (0..100usize, name()).prop_map(|(directory, name)| format!("{DIRECTORY}{directory}/{name}")),
        2 => path(),
        1 => below_open(),
    ]
}

/// A path to use: mostly an existing one.
fn present() -> impl Strategy<Value = String> {
    prop_oneof![
        16 => (0..100usize).prop_map(|entry| format!("{ENTRY}{entry}")),
        2 => path(),
        1 => below_open(),
    ]
}

/// As [`present`], mostly not a directory.
fn file() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (0..100usize).prop_map(|entry| format!("{FILE}{entry}")),
        1 => present(),
    ]
}

fn directory() -> impl Strategy<Value = String> {
    (1..100usize).prop_map(|directory| format!("{DIRECTORY}{directory}"))
}

fn path() -> impl Strategy<Value = String> {
    vec(name(), 1..=3).prop_map(|names| names.join("/"))
}

fn below_open() -> impl Strategy<Value = String> {
    (slot(), path()).prop_map(|(slot, path)| format!("{OPEN}{slot}/{path}"))
}

fn slot() -> impl Strategy<Value = usize> {
    0..SLOTS
}

fn offset() -> impl Strategy<Value = u64> {
    prop::sample::select(&[0, 1, 5, 4096, 9999][..])
}

fn length() -> impl Strategy<Value = usize> {
    prop::sample::select(&[0, 1, 3, 100, 5000][..])
}

fn byte() -> impl Strategy<Value = char> {
    prop::char::range('a', 'z')
}

fn how() -> impl Strategy<Value = How> {
    prop::sample::select(&[How::Replace, How::Replace, How::NoReplace, How::Exchange][..])
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&KEYS[..])
}

fn flags() -> impl Strategy<Value = OFlags> {
    let (r, w, rw) = (OFlags::RDONLY, OFlags::WRONLY, OFlags::RDWR);
    let (create, truncate) = (OFlags::CREATE, OFlags::TRUNC);
    prop::sample::select(vec![
        r,
        r | OFlags::NOFOLLOW,
        r | truncate,
        r | create,
        rw,
        rw,
        rw | truncate,
        rw | OFlags::APPEND,
        rw | create,
        rw | create | OFlags::EXCL,
        rw | create | truncate,
        rw | create | OFlags::APPEND,
        w,
        w | create | truncate,
    ])
}

/// As [`flags`], always with write access.
fn writing() -> impl Strategy<Value = OFlags> {
    flags().prop_map(|flags| if flags.intersects(OFlags::WRONLY | OFlags::RDWR) { flags } else { OFlags::WRONLY })
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let making = prop_oneof![
        3 => (fresh(), offset(), length(), byte()).prop_map(|(path, offset, length, byte)| Write {
            path,
            flags: OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
            offset,
            length,
            byte,
        }),
        4 => (fresh(), mode()).prop_map(|(path, mode)| Mkdir { path, mode }),
        1 => (target(), fresh()).prop_map(|(target, path)| Symlink { target, path }),
        1 => (fresh(), mode()).prop_map(|(path, mode)| Fifo { path, mode }),
        4 => (file(), fresh()).prop_map(|(from, to)| Link { from, to }),
    ];
    let removing = prop_oneof![
        6 => file().prop_map(|path| Unlink { path }),
        3 => directory().prop_map(|path| Rmdir { path }),
        2 => present().prop_map(|path| RemoveTree { path }),
    ];
    let destination = || prop_oneof![2 => fresh(), 1 => file(), 1 => directory()];
    let renaming = prop_oneof![
        2 => (file(), destination(), how()).prop_map(|(from, to, how)| Rename { from, to, how }),
        3 => (directory(), destination(), how()).prop_map(|(from, to, how)| Rename { from, to, how }),
    ];
    let allocate = prop::sample::select(&[Allocate::Extend, Allocate::KeepSize, Allocate::PunchHole][..]);
    let wanted = prop::sample::select(&[Wanted::Any, Wanted::Any, Wanted::Create, Wanted::Replace][..]);
    let values = prop::sample::select(&["", "value", "another"][..]);
    let changing = prop_oneof![
        6 => (prop_oneof![4 => file(), 1 => fresh()], writing(), offset(), length(), byte()).prop_map(
            |(path, flags, offset, length, byte)| Write { path, flags, offset, length, byte }
        ),
        1 => (file(), offset()).prop_map(|(path, length)| Truncate { path, length }),
        1 => (file(), file()).prop_map(|(from, to)| CopyRange { from, to }),
        3 => (present(), mode()).prop_map(|(path, mode)| Chmod { path, mode }),
        1 => (present(), owner()).prop_map(|(path, owner)| Chown { path, owner }),
        1 => present().prop_map(|path| Utimes { path }),
        2 => (present(), key(), values, wanted).prop_map(|(path, key, value, how)| SetXattr { path, key, value, how }),
        1 => (present(), key()).prop_map(|(path, key)| RemoveXattr { path, key }),
    ];
    let looking = prop_oneof![
        3 => directory().prop_map(|path| List { path }),
        2 => present().prop_map(|path| Stat { path }),
        1 => file().prop_map(|path| ReadLink { path }),
        3 => Just(Look),
    ];
    let keeping_open = prop_oneof![
        6 => (slot(), prop_oneof![6 => file(), 1 => fresh()], flags(), mode()).prop_map(
            |(slot, path, flags, mode)| Open { slot, path, flags, mode }
        ),
        2 => (slot(), directory())
            .prop_map(|(slot, path)| Open { slot, path, flags: OFlags::RDONLY | OFlags::DIRECTORY, mode: 0 }),
        3 => slot().prop_map(|slot| ReadOpen { slot }),
        4 => (slot(), offset(), length(), byte())
            .prop_map(|(slot, offset, length, byte)| WriteOpen { slot, offset, length, byte }),
        1 => (slot(), offset()).prop_map(|(slot, length)| TruncateOpen { slot, length }),
        1 => (slot(), allocate, offset(), 1..5000u64)
            .prop_map(|(slot, how, offset, length)| AllocateOpen { slot, how, offset, length }),
        1 => (slot(), mode()).prop_map(|(slot, mode)| ChmodOpen { slot, mode }),
        2 => slot().prop_map(|slot| StatOpen { slot }),
        1 => slot().prop_map(|slot| Close { slot }),
    ];
    let mounting = prop_oneof![2 => any::<bool>().prop_map(|swap| Remount { swap }), 1 => Just(Commit)];
    use prop::arbitrary::any;
    prop_oneof![
        12 => making,
        9 => removing,
        9 => renaming,
        12 => changing,
        4 => looking,
        14 => keeping_open,
        2 => mounting,
    ]
}

/// The operation with its placeholders replaced by paths of `entries`: each a path and whether it is a directory.
pub fn resolved(operation: &Operation, entries: &[(String, bool)]) -> Operation {
    let mut operation = operation.clone();
    for path in operation.paths_mut() {
        *path = resolve(path, entries);
    }
    operation
}

fn resolve(path: &str, entries: &[(String, bool)]) -> String {
    let (sign, rest) = path.split_at(1);
    let (number, below) = rest.split_once('/').unwrap_or((rest, ""));
    let found: Vec<&str> = match sign.chars().next().expect("no path is empty") {
        ENTRY => entries.iter().map(|(path, _)| path.as_str()).collect(),
        FILE => entries.iter().filter(|(_, is_dir)| !is_dir).map(|(path, _)| path.as_str()).collect(),
        // The root is a directory too, for a path below it.
        DIRECTORY => {
            let root = (!below.is_empty()).then_some("");
            root.into_iter()
                .chain(entries.iter().filter(|(_, is_dir)| *is_dir).map(|(path, _)| path.as_str()))
                .collect()
        }
        _ => return path.into(),
    };
    let number: usize = number.parse().expect("a number follows the sign");
    let Some(chosen) = number.checked_rem(found.len()).map(|index| found[index]) else { return "a".into() };
    match (chosen, below) {
        (chosen, "") => chosen.into(),
        ("", below) => below.into(),
        (chosen, below) => format!("{chosen}/{below}"),
    }
}
