//! Snapshots of trees, for readable comparisons.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::subject::peer;
use super::tree::{is_mark, read, target, walk, word, xattrs};

/// The type, mode, owner, size, links, link target, device, mtime, xattrs and content of every entry of a tree, and of
/// its root. Leaves out the size and link count of directories, atime and ctime, and overlayfs's own xattrs.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<PathBuf, String>);

/// The start of the line for an entry that is listed but missing.
const GHOST: &str = "<listed, but: ";

/// A snapshot of the tree in `dir`.
pub fn snapshot(dir: &Path) -> Snapshot {
    since(dir, None)
}

/// A snapshot of the tree in `dir`. An mtime at or after `start` reads as `new`, because it differs between two runs.
pub fn snapshot_since(dir: &Path, start: SystemTime) -> Snapshot {
    // File systems take times from a coarse clock, which may lag by a tick.
    let seconds = start.duration_since(UNIX_EPOCH).expect("a clock past 1970").as_secs() as i64;
    since(dir, Some(seconds - 1))
}

fn since(dir: &Path, start: Option<i64>) -> Snapshot {
    let root = std::iter::once(PathBuf::from("."));
    Snapshot(root.chain(walk(dir)).map(|path| (path.clone(), entry(&dir.join(&path), start))).collect())
}

fn entry(path: &Path, start: Option<i64>) -> String {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) => return format!("{GHOST}{error}>"),
    };
    let kind = meta.file_type();
    let device = format!("{}:{}", rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    let body = match () {
        () if kind.is_dir() => "dir".to_string(),
        () if kind.is_file() => format!("file {} bytes {}", meta.size(), word(&read(path))),
        () if kind.is_symlink() => format!("link {} bytes -> {}", meta.size(), target(path)),
        () if kind.is_char_device() => format!("char {device}"),
        () if kind.is_block_device() => format!("block {device}"),
        () if kind.is_fifo() => "fifo".to_string(),
        () => "socket".to_string(),
    };
    let mut line = format!("{:o} {}:{} {body}", meta.mode() & 0o7777, meta.uid(), meta.gid());
    if !kind.is_dir() {
        let _ = write!(line, " links={}", meta.nlink());
    }
    let _ = match start {
        // A peer may change the times of directories when it copies up; the rest is still compared.
        _ if peer().is_some() => Ok(()),
        Some(start) if meta.mtime() >= start => write!(line, " mtime=new"),
        _ => write!(line, " mtime={}.{:09}", meta.mtime(), meta.mtime_nsec()),
    };
    for (key, value) in xattrs(path).iter().filter(|(key, _)| !is_mark(key)) {
        let _ = write!(line, " +{key}={}", word(value));
    }
    line
}

impl Snapshot {
    /// The paths that differ, with a line for each side; `None` when all are equal.
    pub fn diff(&self, other: &Snapshot) -> Option<String> {
        let paths: std::collections::BTreeSet<&PathBuf> = self.0.keys().chain(other.0.keys()).collect();
        let mut text = String::new();
        for path in paths {
            let (here, there) = (self.0.get(path), other.0.get(path));
            if here != there {
                for (sign, line) in [('-', here), ('+', there)] {
                    let _ = writeln!(text, "{sign} {}: {}", path.display(), line.map_or("(absent)", String::as_str));
                }
            }
        }
        (!text.is_empty()).then_some(text)
    }

    /// Fails and prints the differences if there are any.
    #[track_caller]
    pub fn assert_eq(&self, other: &Snapshot, what: &str) {
        if let Some(diff) = self.diff(other) {
            panic!("{what}:\n{diff}");
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(path, line)| writeln!(f, "{}: {line}", path.display()))
    }
}
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
