//! How much of an image was read, as the HelloBench benchmark asks.
//!
//! Compares the reads that a union recorded ([`Trace`]) with the whole content of the image, layer by layer. A file
//! counts when the daemon read it or copied it up. A file that was only looked up, opened or mapped, and an empty file,
//! do not count, because the daemon gets no read request for them.
#![doc = include_str!("trace.md")]

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::layer::{Walk, walk};
use crate::sys::{Dir, Kind, Result};
use crate::union::{FileRead, Trace};

/// A layer to measure.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The root of the layer on the host.
    pub dir: PathBuf,
    /// The id of the layer, for display.
    pub id: String,
    /// The build step that made the layer; empty when unknown.
    pub created_by: String,
}

/// How much of a stack of layers was read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reading {
    /// The layers, base first.
    pub layers: Vec<LayerReading>,
    /// The files, in the order of their first reads.
    pub files: Vec<FileReading>,
}

/// How much of one layer was read, and how much it holds. Counts regular files only; several hard links count once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LayerReading {
    /// The number of the layer; 1 is the base.
    pub layer: usize,
    /// The id of the layer.
    pub id: String,
    /// The build step that made the layer; empty when unknown.
    pub created_by: String,
    /// The number of files that were read, at least in part.
    pub files_read: u64,
    /// The number of files in the layer.
    pub files: u64,
    /// Bytes that the kernel asked for, each once.
    pub bytes_read: u64,
    /// The sum of the sizes of all files, in bytes.
    pub bytes: u64,
}

/// How much of one file was read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileReading {
    /// The path in the container; one of them when the file has several.
    pub path: String,
    /// The number of the layer that holds the file; 1 is the base.
    pub layer: usize,
    /// Seconds from the start of the trace to the first read.
    pub first: f64,
    /// Bytes that the kernel asked for, each once.
    pub bytes_read: u64,
    /// The size of the file, in bytes.
    pub bytes: u64,
    /// The number of read requests.
    pub reads: u64,
    /// The byte ranges that were read, as start and end (exclusive); ascending, and no two touch.
    pub ranges: Vec<(u64, u64)>,
}

/// Compares `trace` with `layers`, the topmost layers of the union, topmost first.
///
/// # Errors
/// The first error of walking a layer.
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
    /// The sums over all layers.
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
    /// Walks the layer in `dir` and calls `each` with the path and size of every name of a regular file. Skips
    /// directories that this process may not read.
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
