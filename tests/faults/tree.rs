//! A tree as text, read through the union or from a mount.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use overfuse::sys::{FileFlags, Kind, Name};
use overfuse::union::{NodeId, Union};

use crate::support::tree::{is_mark, read, target, walk, word, xattrs};

/// What was modified since is new: the layers are older.
const NEW: i64 = 1_500_000_000;

/// Before the flags of `chattr`, at the end of a line.
const FLAGS: &str = " flags=";

/// The same without the flags: a mount is not asked for them.
pub fn without_flags(text: &str) -> String {
    text.lines().map(|line| line.split(FLAGS).next().unwrap_or(line)).flat_map(|line| [line, "\n"]).collect()
}

/// The same without the counts of links.
pub fn without_links(text: &str) -> String {
    let cut = |line: &str| match line.split_once(" links=") {
        Some((before, after)) => format!("{before} {}\n", after.split_once(' ').map_or("", |(_, rest)| rest)),
        None => format!("{line}\n"),
    };
    text.lines().map(cut).collect()
}

/// One line an entry: mode, owner, links, size, content or target, time of modification, extended attributes. Of a
/// directory neither links nor time: its times are set back as far as that succeeds.
fn line(
    mode: u32,
    owner: (u32, u32),
    links: u32,
    mtime: i64,
    body: Option<&[u8]>,
    keys: &[(String, Vec<u8>)],
) -> String {
    let mut line = format!("{mode:o} {}:{}", owner.0, owner.1);
    if let Some(body) = body {
        let mtime = if mtime >= NEW { "new".into() } else { mtime.to_string() };
        let _ = write!(line, " links={links} mtime={mtime} {} {}", body.len(), word(body));
    }
    for (key, value) in keys {
        let _ = write!(line, " +{key}={}", word(value));
    }
    line
}

fn text(lines: BTreeMap<String, String>, files: BTreeMap<u64, Vec<String>>) -> String {
    let mut text: String = lines.into_iter().map(|(path, line)| format!("{path}: {line}\n")).collect();
    for mut names in files.into_values().filter(|names| names.len() > 1) {
        names.sort();
        let _ = writeln!(text, "one file: {}", names.join(" "));
    }
    text
}

pub fn of_union(union: &Union) -> String {
    let (mut lines, mut files) = (BTreeMap::new(), BTreeMap::new());
    into_union(union, NodeId::ROOT, "", &mut lines, &mut files);
    text(lines, files)
}

fn into_union(
    union: &Union,
    dir: NodeId,
    path: &str,
    lines: &mut BTreeMap<String, String>,
    files: &mut BTreeMap<u64, Vec<String>>,
) {
    let mut offset = 0;
    let mut names = Vec::new();
    loop {
        let items = union.read_dir(dir, offset).expect("list a directory");
        let Some(last) = items.last() else { break };
        offset = last.offset;
        names.extend(items.iter().filter_map(|item| item.entry_name().map(|name| name.to_owned())));
    }
    for name in names {
        let path = format!("{path}/{}", name.as_os_str().display());
        let Ok(Some(attr)) = union.lookup(dir, Name::new(name.as_os_str()).expect("a name")) else {
            lines.insert(path, "listed and not there".into());
            continue;
        };
        let stat = attr.stat;
        let body = match stat.kind {
            Kind::Directory => None,
            Kind::Regular => Some(content(union, attr.id, stat.size)),
            Kind::Symlink => Some(union.read_link(attr.id).expect("read a link").into_encoded_bytes()),
            _ => Some(format!("device {}", stat.rdev).into_bytes()),
        };
        let keys = union.xattrs(attr.id).expect("list attributes");
        let mut keys: Vec<_> = keys
            .iter()
            .map(|key| (key.display().to_string(), union.xattr(attr.id, key).expect("read an attribute")))
            .collect();
        keys.sort();
        let mode = stat.perm | kind_bits(stat.kind);
        let owner = (stat.uid, stat.gid);
        let mut line = line(mode, owner, stat.nlink, stat.mtime.sec, body.as_deref(), &keys);
        if matches!(stat.kind, Kind::Regular | Kind::Directory)
            && let Ok(FileFlags(flags @ 1..)) = union.flags(attr.id)
        {
            let _ = write!(line, "{FLAGS}{flags:#x}");
        }
        lines.insert(path.clone(), line);
        if stat.kind == Kind::Directory {
            into_union(union, attr.id, &path, lines, files);
        } else {
            files.entry(attr.id.0).or_default().push(path);
        }
        union.forget(attr.id, 1);
    }
}

fn content(union: &Union, id: NodeId, size: u64) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(size).expect("a small file")];
    match union.read(id, 0, &mut content) {
        Ok(count) => content.truncate(count),
        Err(error) => content = format!("<{error}>").into_bytes(),
    }
    content
}

fn kind_bits(kind: Kind) -> u32 {
    match kind {
        Kind::Directory => 0o040_000,
        Kind::Regular => 0o100_000,
        Kind::Symlink => 0o120_000,
        Kind::Fifo => 0o010_000,
        _ => 0o020_000,
    }
}

pub fn of_mount(at: &Path) -> String {
    let (mut lines, mut files) = (BTreeMap::new(), BTreeMap::<u64, Vec<String>>::new());
    for path in walk(at) {
        let full = at.join(&path);
        let path = format!("/{}", path.display());
        let Ok(meta) = fs::symlink_metadata(&full) else {
            lines.insert(path, "listed and not there".into());
            continue;
        };
        let body = match meta.mode() & 0o170_000 {
            0o040_000 => None,
            0o100_000 => Some(read(&full)),
            0o120_000 => Some(target(&full).into_bytes()),
            _ => Some(format!("device {}", meta.rdev()).into_bytes()),
        };
        let keys: Vec<_> = xattrs(&full).into_iter().filter(|(key, _)| !is_mark(key)).collect();
        let owner = (meta.uid(), meta.gid());
        let links = u32::try_from(meta.nlink()).expect("few links");
        lines.insert(path.clone(), line(meta.mode(), owner, links, meta.mtime(), body.as_deref(), &keys));
        if !meta.is_dir() {
            files.entry(meta.ino()).or_default().push(path);
        }
    }
    let mut files: Vec<_> = files.into_values().collect();
    files.sort();
    text(lines, (0..).zip(files).collect())
}

/// The same, where the files whose paths begin with `prefix` were modified just now.
pub fn touched(text: &str, prefix: Option<&str>) -> String {
    let touch = |line: &str| match (prefix, line.split_once(" mtime=")) {
        (Some(prefix), Some((before, after))) if line.starts_with(prefix) => {
            format!("{before} mtime=new {}\n", after.split_once(' ').map_or("", |(_, rest)| rest))
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(touch).collect()
}

/// Fails with the lines that differ.
pub fn compare(expected: &str, found: &str) -> Result<(), String> {
    let sorted = |text: &str| text.lines().map(String::from).collect::<std::collections::BTreeSet<_>>();
    let (expected, found) = (sorted(expected), sorted(found));
    if expected == found {
        return Ok(());
    }
    let missing = expected.difference(&found).map(|line| format!("- {line}"));
    let surplus = found.difference(&expected).map(|line| format!("+ {line}"));
    Err(missing.chain(surplus).collect::<Vec<_>>().join("\n"))
}
