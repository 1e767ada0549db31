//! Merges a stack of layers into the model that the operations start with.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Body, File, Ino, Model, ROOT};
use crate::subject::Time;
use crate::support::subject::{layer_time, sections};
use crate::support::tree::{content, split};

/// What one layer has at a name.
#[derive(Debug)]
enum Item {
    Whiteout,
    /// The number of a file; all names of one file have the same.
    Leaf(usize),
    Dir(Dir),
}

#[derive(Debug)]
struct Dir {
    file: File,
    opaque: bool,
    items: BTreeMap<String, Item>,
}

/// The files of all layers, each with its number in the model if the stack shows it.
#[derive(Default)]
struct Leaves(Vec<(File, Option<Ino>)>);

/// The model of the layers in `text`, in the form that `Layers::build` reads.
pub fn model(text: &str, keeps_set_id: bool) -> Model {
    let mut leaves = Leaves::default();
    let layers: Vec<Dir> = sections(text)
        .iter()
        .enumerate()
        .map(|(index, (_, tree))| parse(tree, layer_time(index), &mut leaves))
        .collect();
    let mut model = Model { files: Vec::new(), keeps_set_id };
    stack(&mut model, &layers.iter().collect::<Vec<_>>(), ROOT, &mut leaves);
    model
}

/// Adds the directory that is merged from `parts`, topmost first.
fn stack(model: &mut Model, parts: &[&Dir], parent: Ino, leaves: &mut Leaves) -> Ino {
    let ino = model.files.len();
    model.files.push(File { body: Body::Dir { entries: BTreeMap::new(), parent }, ..parts[0].file.clone() });
    let names: BTreeSet<&String> = parts.iter().flat_map(|part| part.items.keys()).collect();
    for name in names {
        let child = match resolve(parts, name) {
            Resolved::Nothing => continue,
            Resolved::Leaf(number) => leaves.ino(number, model),
            Resolved::Dirs(dirs) => stack(model, &dirs, ino, leaves),
        };
        let Body::Dir { entries, .. } = &mut model.files[ino].body else { unreachable!("made above") };
        entries.insert(name.clone(), child);
    }
    ino
}

enum Resolved<'a> {
    Nothing,
    Leaf(usize),
    Dirs(Vec<&'a Dir>),
}

/// The topmost layer decides; directories merge down to an opaque one, a whiteout or a file.
fn resolve<'a>(parts: &[&'a Dir], name: &str) -> Resolved<'a> {
    let mut dirs = Vec::new();
    for item in parts.iter().filter_map(|part| part.items.get(name)) {
        match item {
            Item::Whiteout => break,
            Item::Leaf(number) if dirs.is_empty() => return Resolved::Leaf(*number),
            Item::Leaf(_) => break,
            Item::Dir(dir) => {
                dirs.push(dir);
                if dir.opaque {
                    break;
                }
            }
        }
    }
    if dirs.is_empty() { Resolved::Nothing } else { Resolved::Dirs(dirs) }
}

impl Leaves {
    fn ino(&mut self, number: usize, model: &mut Model) -> Ino {
        let (file, ino) = &mut self.0[number];
        *ino.get_or_insert_with(|| {
            model.files.push(file.clone());
            model.files.len() - 1
        })
    }
}

fn parse(tree: &str, time: i64, leaves: &mut Leaves) -> Dir {
    let mut root = Dir { file: file(Body::Fifo, 0o755, time), opaque: false, items: BTreeMap::new() };
    for (line, time) in tree.lines().zip(time + 1..) {
        let words = split(line);
        let (attributes, words): (Vec<&str>, Vec<&str>) =
            words.iter().map(String::as_str).partition(|word| word.starts_with(['@', '+']));
        let third = words.get(2).copied();
        let mode = third.and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or(0o755);
        let with = |body: Body, perm: u32| {
            let mut file = file(body, perm, time);
            attributes.iter().for_each(|attribute| attach(&mut file, attribute));
            file
        };
        let mut leaf = |file: File| {
            leaves.0.push((file, None));
            Item::Leaf(leaves.0.len() - 1)
        };
        let item = match words[0] {
            "d" | "o" => {
                Item::Dir(Dir { file: with(Body::Fifo, mode), opaque: words[0] == "o", items: BTreeMap::new() })
            }
            "f" => leaf(with(Body::Regular(content(words.get(3).copied().unwrap_or_default())), mode)),
            "l" => leaf(with(Body::Symlink(third.expect("a target").into()), 0o777)),
            "p" => leaf(with(Body::Fifo, mode)),
            "w" => Item::Whiteout,
            "h" => match find(&root, third.expect("a source")) {
                Some(&Item::Leaf(number)) => {
                    leaves.0[number].0.links += 1;
                    Item::Leaf(number)
                }
                other => panic!("{line}: {other:?} is no file"),
            },
            other => panic!("{other} is no kind of entry that the model knows"),
        };
        put(&mut root, words[1], item);
    }
    root
}

fn file(body: Body, perm: u32, time: i64) -> File {
    File { perm, owner: (0, 0), mtime: Time::At(time, 0), xattrs: BTreeMap::new(), links: 1, body }
}

/// `@uid:gid` or `+key=value`.
fn attach(file: &mut File, attribute: &str) {
    if let Some(owner) = attribute.strip_prefix('@') {
        let (uid, gid) = owner.split_once(':').expect("@uid:gid");
        file.owner = (uid.parse().expect("an id"), gid.parse().expect("an id"));
        return;
    }
    let (key, value) = attribute[1..].split_once('=').expect("+key=value");
    file.xattrs.insert(key.into(), content(value));
}

fn find<'a>(root: &'a Dir, path: &str) -> Option<&'a Item> {
    match path.split_once('/') {
        None => root.items.get(path),
        Some((name, below)) => match root.items.get(name)? {
            Item::Dir(dir) => find(dir, below),
            _ => None,
        },
    }
}

fn put(root: &mut Dir, path: &str, item: Item) {
    match path.split_once('/') {
        None => {
            root.items.insert(path.into(), item);
        }
        Some((name, below)) => match root.items.get_mut(name) {
            Some(Item::Dir(dir)) => put(dir, below, item),
            other => panic!("{path}: its directory needs a line before it, but there is {other:?}"),
        },
    }
}
