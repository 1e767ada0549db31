//! Trees as text, with one line for each entry.
//!
//! ```text
//! d a 755                    a directory; parents that no line names are made with 755
//! o a/b 700                  an opaque directory of a layer
//! f a/x 644 hello            a file with its content
//! f a/y 644 "two words\n"    … quoted as Rust quotes
//! f a/z 644 65536*A          … or one byte repeated
//! l a/s ../target            a symbolic link
//! h a/t a/x                  a hard link to an earlier entry
//! w a/gone                   a whiteout of a layer
//! c a/c 600 1:3              a character device; `b`: a block device
//! p a/p 644                  a fifo; `s`: a socket
//! f u 644 u @1000:1000 +user.k=v          owners and xattrs, after all else
//! ```
//!
//! [`show`] writes the text that [`build`] reads, sorted by path. It shows owners only if they differ from our own.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{self as rfs, AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use super::need::is_root;

/// Makes the entries of `text` in `dir`, which is created if missing.
pub fn build(dir: &Path, text: &str) {
    build_at(dir, text, 1_000_000_000);
}

/// As [`build`]; the root gets the mtime `time` (seconds since 1970), and each line's entry one second more than the
/// line before.
pub fn build_at(dir: &Path, text: &str, time: i64) {
    fs::create_dir_all(dir).expect("make the root of a tree");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for line in &lines {
        entry(dir, line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    // Only after all entries exist, because making an entry changes the time of its directory. In reverse order, so
    // that a file with several names gets the time of its first line.
    for (index, line) in lines.iter().enumerate().rev() {
        let path = line.split_whitespace().nth(1).expect("a path");
        set_mtime(&dir.join(path), time + index as i64 + 1);
    }
    set_mtime(dir, time);
}

/// The xattr that marks a directory as opaque, for layers that this process makes.
pub fn opaque_key() -> &'static str {
    if is_root() { "trusted.overlay.opaque" } else { "user.overlay.opaque" }
}

fn set_mtime(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rfs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("set the times of an entry");
}

fn entry(dir: &Path, line: &str) -> io::Result<()> {
    let words = split(line);
    let (attributes, words): (Vec<&str>, Vec<&str>) =
        words.iter().map(String::as_str).partition(|word| word.starts_with(['@', '+']));
    let (kind, path) = (words[0], dir.join(words[1]));
    let third = words.get(2).copied();
    let mode = third.and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or(0o755);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match kind {
        "d" | "o" if path.is_dir() => {}
        "d" | "o" => fs::create_dir(&path)?,
        "f" => fs::write(&path, content(words.get(3).copied().unwrap_or_default()))?,
        "l" => std::os::unix::fs::symlink(third.expect("a target"), &path)?,
        "h" => return fs::hard_link(dir.join(third.expect("a source")), &path),
        "w" => return Ok(rfs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), 0)?),
        "c" => rfs::mknodat(CWD, &path, FileType::CharacterDevice, Mode::empty(), device(words[3]))?,
        "b" => rfs::mknodat(CWD, &path, FileType::BlockDevice, Mode::empty(), device(words[3]))?,
        "p" => rfs::mknodat(CWD, &path, FileType::Fifo, Mode::empty(), 0)?,
        "s" => rfs::mknodat(CWD, &path, FileType::Socket, Mode::empty(), 0)?,
        other => panic!("{other} is no kind of entry"),
    }
    if kind == "o" {
        rfs::lsetxattr(&path, opaque_key(), b"y", XattrFlags::empty())?;
    }
    for attribute in attributes {
        attach(&path, attribute)?;
    }
    if kind != "l" {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// `@uid:gid` or `+key=value`.
fn attach(path: &Path, attribute: &str) -> io::Result<()> {
    if let Some(owner) = attribute.strip_prefix('@') {
        let (uid, gid) = owner.split_once(':').expect("@uid:gid");
        let of = |id: &str| Some(id.parse().expect("an id"));
        return std::os::unix::fs::lchown(path, of(uid), of(gid));
    }
    let (key, value) = attribute[1..].split_once('=').expect("+key=value");
    Ok(rfs::lsetxattr(path, key, &content(value), XattrFlags::empty())?)
}

/// Splits a line into words; whitespace within quotes does not end a word.
pub fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let mut quoted = false;
        let mut escaped = false;
        let end = rest.char_indices().find(|&(_, c)| {
            let ends = c.is_whitespace() && !quoted;
            quoted ^= c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let (word, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        words.push(word.to_string());
        rest = after.trim_start();
    }
    words
}

/// The bytes that a word of content stands for.
pub fn content(word: &str) -> Vec<u8> {
    if let Some(inner) = word.strip_prefix('"').and_then(|word| word.strip_suffix('"')) {
        return unescape(inner);
    }
    match word.split_once('*').and_then(|(count, byte)| Some((count.parse::<usize>().ok()?, byte))) {
        Some((count, byte)) if byte.len() == 1 => byte.repeat(count).into_bytes(),
        _ => word.into(),
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match (byte, byte == b'\\') {
            (_, false) => bytes.push(byte),
            _ => match rest.next() {
                Some(b'n') => bytes.push(b'\n'),
                Some(b't') => bytes.push(b'\t'),
                Some(b'r') => bytes.push(b'\r'),
                Some(b'x') => {
                    let digits = [rest.next(), rest.next()].map(|digit| digit.expect("two digits") as char);
                    bytes.push(u8::from_str_radix(&String::from_iter(digits), 16).expect("a hexadecimal byte"));
                }
                Some(other) => bytes.push(other),
                None => panic!("{text}: nothing is escaped at its end"),
            },
        }
    }
    bytes
}

/// The word for `content`: the text itself, quoted, or repeated; for long content its length and digest.
pub fn word(content: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"*@+\\".contains(byte);
    match content {
        [first, .., last]
            if content.len() > 8 && first == last && plain(first) && content.iter().all(|b| b == first) =>
        {
            format!("{}*{}", content.len(), *first as char)
        }
        _ if content.len() > 80 => format!("<{} bytes, {}>", content.len(), digest(content)),
        _ if !content.is_empty() && content.iter().all(plain) => String::from_utf8_lossy(content).into_owned(),
        _ => format!("\"{}\"", content.escape_ascii()),
    }
}

/// The first bytes of the content's SHA-256, enough to tell contents apart.
pub fn digest(content: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(content)[..8].iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn device(word: &str) -> u64 {
    let (major, minor) = word.split_once(':').expect("major:minor");
    rfs::makedev(major.parse().expect("a major number"), minor.parse().expect("a minor number"))
}

/// The tree in `dir` as text. Leaves out overlayfs's marks, except opaque ones and whiteouts.
pub fn show(dir: &Path) -> String {
    let mut lines = Vec::new();
    for path in walk(dir) {
        lines.push(line(dir, &path));
    }
    lines.join("\n")
}

/// Every path below `dir`, relative to it, sorted by component.
pub fn walk(dir: &Path) -> Vec<PathBuf> {
    fn into(paths: &mut Vec<PathBuf>, root: &Path, below: &Path) {
        let dir = root.join(below);
        let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("list {}: {error}", dir.display()));
        for entry in entries {
            let entry = entry.unwrap_or_else(|error| panic!("list {}: {error}", dir.display()));
            let path = below.join(entry.file_name());
            paths.push(path.clone());
            if fs::symlink_metadata(root.join(&path)).is_ok_and(|meta| meta.is_dir()) {
                into(paths, root, &path);
            }
        }
    }
    let mut paths = Vec::new();
    into(&mut paths, dir, Path::new(""));
    paths.sort();
    paths
}

fn line(dir: &Path, path: &Path) -> String {
    let full = dir.join(path);
    let meta = fs::symlink_metadata(&full).unwrap_or_else(|error| panic!("stat {}: {error}", full.display()));
    let name = path.display();
    let mode = meta.mode() & 0o7777;
    let kind = meta.file_type();
    let numbers = format!("{}:{}", rfs::major(meta.rdev()), rfs::minor(meta.rdev()));
    let attributes = xattrs(&full);
    let opaque = attributes.iter().any(|(key, _)| key == "trusted.overlay.opaque" || key == "user.overlay.opaque");
    let mut line = match () {
        () if kind.is_dir() => format!("{} {name} {mode:o}", if opaque { 'o' } else { 'd' }),
        () if kind.is_file() => format!("f {name} {mode:o} {}", word(&read(&full))),
        () if kind.is_symlink() => format!("l {name} {}", target(&full)),
        () if kind.is_char_device() && meta.rdev() == 0 => return format!("w {name}"),
        () if kind.is_char_device() => format!("c {name} {mode:o} {numbers}"),
        () if kind.is_block_device() => format!("b {name} {mode:o} {numbers}"),
        () if kind.is_fifo() => format!("p {name} {mode:o}"),
        () => format!("s {name} {mode:o}"),
    };
    if (meta.uid(), meta.gid()) != (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()) {
        let _ = write!(line, " @{}:{}", meta.uid(), meta.gid());
    }
    for (key, value) in attributes.iter().filter(|(key, _)| !is_mark(key)) {
        let _ = write!(line, " +{key}={}", word(value));
    }
    line
}

/// Whether an xattr is one of overlayfs's own, `trusted.` or `user.`.
pub fn is_mark(key: &str) -> bool {
    key.starts_with("trusted.overlay.") || key.starts_with("user.overlay.")
}

/// The content of a file, or the error in angle brackets.
pub fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| format!("<{error}>").into_bytes())
}

/// The target of a symbolic link, or the error in angle brackets.
pub fn target(path: &Path) -> String {
    fs::read_link(path).map_or_else(|error| format!("<{error}>"), |target| target.display().to_string())
}

/// All xattrs of the file at `path`, sorted; a symbolic link is not followed.
pub fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut list = vec![0; 64 << 10];
    let length = match rfs::llistxattr(path, &mut list[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => panic!("list the xattrs of {}: {error}", path.display()),
    };
    let keys = list[..length].split(|byte| *byte == 0).filter(|key| !key.is_empty());
    let mut found: Vec<(String, Vec<u8>)> = keys
        .map(|key| {
            let mut value = vec![0; 64 << 10];
            let length = rfs::lgetxattr(path, OsStr::from_bytes(key), &mut value[..]);
            value.truncate(length.unwrap_or_else(|error| panic!("read an xattr of {}: {error}", path.display())));
            (String::from_utf8_lossy(key).into_owned(), value)
        })
        .collect();
    found.sort();
    found
}
