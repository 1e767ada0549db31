//! How much of an image was read, and what: HelloBench's question.
//!
//! Puts what a union noted ([`Trace`]) beside what there was to read, layer by layer. Files are those that the daemon
//! was asked to read, or copied up: of one that was only looked up, opened or mapped, and of an empty one, it hears
//! nothing that would tell.
#![doc = include_str!("trace.md")]
#![warn(missing_docs)]

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::layer::{Walk, walk};
use crate::sys::{Dir, Kind, Result};
use crate::union::{FileRead, Trace};

/// A layer to be counted.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The root of the layer on the host.
    pub dir: PathBuf,
    /// By what it is known.
    pub id: String,
    /// The step that made it, if that is told.
    pub created_by: String,
}

/// What was read of a stack of layers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reading {
    /// From the base up.
    pub layers: Vec<LayerReading>,
    /// In the order in which they were first read.
    pub files: Vec<FileReading>,
}

/// What was read of one layer, and what there was to read. Regular files count, each once whatever names it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LayerReading {
    /// 1 is the base.
    pub layer: usize,
    /// By what the layer is known.
    pub id: String,
    /// The step that made it; empty when that is not told.
    pub created_by: String,
    /// How many files were read, at least in part.
    pub files_read: u64,
    /// How many files there are.
    pub files: u64,
    /// Bytes that the kernel asked for, each once.
    pub bytes_read: u64,
    /// Bytes of all files, as `stat` gives their sizes.
    pub bytes: u64,
}

/// What was read of one file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileReading {
    /// As the container has it; of several names, one.
    pub path: String,
    /// The layer that has it; 1 is the base.
    pub layer: usize,
    /// Seconds from the beginning to the first read.
    pub first: f64,
    /// Bytes that the kernel asked for, each once.
    pub bytes_read: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// How often the daemon was asked.
    pub reads: u64,
    /// Pairs of first byte and the one behind the last; rising, and none of them touch.
    pub ranges: Vec<(u64, u64)>,
}

/// What `trace` noted of `layers`, which are the union's topmost, topmost first.
///
/// # Errors
/// Those of walking a layer.
pub fn reading(trace: &Trace, layers: &[Layer]) -> Result<Reading> {
    let noted: Vec<FileRead> = trace.files().into_iter().filter(|file| file.layer < layers.len()).collect();
    let mut reading = Reading { layers: Vec::new(), files: Vec::new() };
    let mut sizes: HashMap<(usize, &Path), u64> = HashMap::new();
    for (depth, layer) in layers.iter().enumerate().rev() {
        let read = || noted.iter().filter(|file| file.layer == depth);
        let wanted: HashSet<&Path> = read().map(|file| file.path.as_path()).collect();
        let total = Total::of(&layer.dir, |path, size| {
            if let Some(path) = wanted.get(path) {
                sizes.insert((depth, *path), size);
            }
        })?;
        reading.layers.push(LayerReading {
            layer: layers.len() - depth,
            id: layer.id.clone(),
            created_by: layer.created_by.clone(),
            files_read: wanted.len() as u64,
            files: total.files,
            bytes_read: read().map(bytes).sum(),
            bytes: total.bytes,
        });
    }
    reading.files = noted
        .iter()
        .map(|file| FileReading {
            path: format!("/{}", file.path.display()),
            layer: layers.len() - file.layer,
            first: file.first.as_secs_f64(),
            bytes_read: bytes(file),
            bytes: sizes.get(&(file.layer, file.path.as_path())).copied().unwrap_or_else(|| bytes(file)),
            reads: file.reads,
            ranges: file.ranges.iter().map(|range| (range.start, range.end)).collect(),
        })
        .collect();
    Ok(reading)
}

impl Reading {
    /// All layers together.
    pub fn total(&self) -> LayerReading {
        self.layers.iter().fold(LayerReading::default(), |sum, layer| LayerReading {
            files_read: sum.files_read + layer.files_read,
            files: sum.files + layer.files,
            bytes_read: sum.bytes_read + layer.bytes_read,
            bytes: sum.bytes + layer.bytes,
            ..sum
        })
    }
}

fn bytes(file: &FileRead) -> u64 {
    file.ranges.iter().map(|range| range.end - range.start).sum()
}

/// The regular files of a layer.
#[derive(Default)]
struct Total {
    files: u64,
    bytes: u64,
}

impl Total {
    /// Walks the layer in `dir`, and calls `each` with the path and the size of every name of a regular file. What this
    /// process may not look at is passed over.
    fn of(dir: &Path, mut each: impl FnMut(&Path, u64)) -> Result<Total> {
        let mut total = Total::default();
        let mut linked = HashSet::new();
        walk(&Dir::open_host(dir)?, |dir, path, entries| {
            for entry in entries.iter().filter(|entry| entry.kind == Kind::Regular) {
                let stat = dir.stat(entry.name.as_name())?;
                each(&path.join(entry.name.as_os_str()), stat.size);
                if stat.nlink == 1 || linked.insert(stat.ino) {
                    total.files += 1;
                    total.bytes += stat.size;
                }
            }
            Ok(Walk::Deeper)
        })?;
        Ok(total)
    }
}
