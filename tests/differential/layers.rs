//! Random layers: small trees with few names, so that most paths exist in several layers.

use std::collections::BTreeMap;
use std::fmt;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

pub const NAMES: [&str; 4] = ["a", "b", "c", "d"];
pub const MODES: [u32; 5] = [0o644, 0o600, 0o755, 0o4711, 0o1777];
/// Extended attributes that operations set and remove. Layers have the first one.
pub const KEYS: [&str; 2] = ["user.layer", "user.set"];
pub const OWNERS: [(u32, u32); 3] = [(0, 0), (1000, 1000), (7, 1234)];

/// The layers of one stack.
#[derive(Clone)]
pub struct Stack {
    pub upper: Entries,
    /// Topmost first.
    pub lowers: Vec<Entries>,
    /// Whether all files of a layer are hard links of its first file.
    pub linked: bool,
}

pub type Entries = BTreeMap<&'static str, Entry>;

/// What a layer has at a name.
#[derive(Clone, Debug)]
pub enum Entry {
    File { mode: u32, owner: (u32, u32), length: usize, xattr: bool },
    Dir { mode: u32, owner: (u32, u32), opaque: bool, xattr: bool, entries: Entries },
    Symlink(&'static str),
    Fifo,
    Whiteout,
}

pub fn any() -> impl Strategy<Value = Stack> {
    let upper = prop_oneof![2 => Just(Entries::new()), 1 => entries()];
    (upper, vec(entries(), 1..=4), any_flag()).prop_map(|(mut upper, lowers, linked)| {
        prune(&mut upper, &lowers.iter().collect::<Vec<_>>());
        Stack { upper, lowers, linked }
    })
}

/// Removes the whiteouts from those directories of an upper layer that have no lower parts. Neither Overfuse nor the
/// kernel writes any there, and in the kernel they make `rmdir` fail.
fn prune(upper: &mut Entries, below: &[&Entries]) {
    if below.is_empty() {
        upper.retain(|_, entry| !matches!(entry, Entry::Whiteout));
    }
    for (name, entry) in upper {
        if let Entry::Dir { opaque, entries, .. } = entry {
            let merged = if *opaque { Vec::new() } else { directories(below, name) };
            prune(entries, &merged);
        }
    }
}

/// The directories of one name that merge, topmost first.
fn directories<'a>(layers: &[&'a Entries], name: &str) -> Vec<&'a Entries> {
    let mut merged = Vec::new();
    for entry in layers.iter().filter_map(|entries| entries.get(name)) {
        let Entry::Dir { opaque, entries, .. } = entry else { break };
        merged.push(entries);
        if *opaque {
            break;
        }
    }
    merged
}

fn entries() -> impl Strategy<Value = Entries> {
    let leaf = prop_oneof![
        5 => (mode(), owner(), length(), any_flag()).prop_map(|(mode, owner, length, xattr)| Entry::File { mode, owner, length, xattr }),
        1 => target().prop_map(Entry::Symlink),
        1 => Just(Entry::Fifo),
        2 => Just(Entry::Whiteout),
    ];
    let entry = leaf.prop_recursive(3, 20, 4, |entry| {
        (mode(), owner(), 0..5u32, any_flag(), btree_map(name(), entry, 0..4)).prop_map(
            |(mode, owner, opaque, xattr, entries)| Entry::Dir {
                mode: mode | 0o700,
                owner,
                opaque: opaque == 0,
                xattr,
                entries,
            },
        )
    });
    btree_map(name(), entry, 0..5)
}

pub fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&NAMES[..])
}

pub fn mode() -> impl Strategy<Value = u32> {
    prop::sample::select(&MODES[..])
}

pub fn owner() -> impl Strategy<Value = (u32, u32)> {
    prop::sample::select(&OWNERS[..])
}

pub fn length() -> impl Strategy<Value = usize> {
    prop::sample::select(&[0, 1, 5, 4096, 10_000][..])
}

pub fn target() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["a", "b/c", "../a", "nowhere"][..])
}

fn any_flag() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.2)
}

/// The text form that `Layers::build` reads.
impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "upper:")?;
        write_entries(f, "", &self.upper, 'U', &mut None)?;
        for (entries, letter) in self.lowers.iter().zip('A'..) {
            writeln!(f, "lower:")?;
            let mut first = self.linked.then(String::new);
            write_entries(f, "", entries, letter, &mut first)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Files are filled with `letter`, so that content tells its layer. `first` is the path of the file to which all others
/// are linked: `None` if they are not linked, empty until there is one.
fn write_entries(
    f: &mut fmt::Formatter<'_>,
    below: &str,
    entries: &Entries,
    letter: char,
    first: &mut Option<String>,
) -> fmt::Result {
    for (name, entry) in entries {
        let path = format!("{below}{name}");
        let attributes = |&(uid, gid): &(u32, u32), xattr: &bool| {
            let xattr = if *xattr { format!(" +user.layer={letter}") } else { String::new() };
            format!("@{uid}:{gid}{xattr}")
        };
        match entry {
            Entry::File { .. } if first.as_ref().is_some_and(|first| !first.is_empty()) => {
                writeln!(f, "h {path} {}", first.as_deref().unwrap_or_default())?;
            }
            Entry::File { mode, owner, length, xattr } => {
                writeln!(f, "f {path} {mode:o} {length}*{letter} {}", attributes(owner, xattr))?;
                if let Some(first) = first {
                    first.clone_from(&path);
                }
            }
            Entry::Dir { mode, owner, opaque, xattr, entries } => {
                let kind = if *opaque { 'o' } else { 'd' };
                writeln!(f, "{kind} {path} {mode:o} {}", attributes(owner, xattr))?;
                write_entries(f, &format!("{path}/"), entries, letter, first)?;
            }
            // A target above the root of the tree would lead into the host's tree.
            Entry::Symlink(target) if below.is_empty() => writeln!(f, "l {path} {}", target.trim_start_matches("../"))?,
            Entry::Symlink(target) => writeln!(f, "l {path} {target}")?,
            Entry::Fifo => writeln!(f, "p {path} 644")?,
            Entry::Whiteout => writeln!(f, "w {path}")?,
        }
    }
    Ok(())
}
