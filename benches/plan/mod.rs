//! Shared by the benchmarks: their trees, which are the same each time, and the settings of criterion.
#![allow(dead_code)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::Criterion;
use overfuse::bench::tree::fill;
use rustix::fs::XattrFlags;
use tempfile::TempDir;

use crate::support::scratch;

/// An empty directory, removed when it is dropped. It is in memory if that can hold an upper layer, so that the figures
/// do not depend on the disk. `OVERFUSE_TEST_DIR` chooses another place, as for the tests.
pub fn place() -> TempDir {
    let in_memory = || {
        let dir = tempfile::Builder::new().prefix("overfuse-").tempdir_in("/dev/shm").ok()?;
        rustix::fs::setxattr(dir.path(), "user.overfuse", b"", XattrFlags::empty()).ok().map(|()| dir)
    };
    let chosen = std::env::var_os("OVERFUSE_TEST_DIR").is_some();
    if chosen { None } else { in_memory() }.unwrap_or_else(scratch)
}

/// Settings that reproduce figures to a few percent; all benchmarks together take a few minutes.
pub fn criterion() -> Criterion {
    let criterion = Criterion::default().without_plots().sample_size(20).warm_up_time(Duration::from_millis(500));
    criterion.measurement_time(Duration::from_secs(2)).configure_from_args()
}

/// The name of the `index`th file that [`files`] makes.
pub fn name(index: usize) -> String {
    format!("file{index:06}")
}

/// Makes `count` files of `size` bytes, all with different content, in `dir`. Makes `dir` if it does not exist.
pub fn files(dir: &Path, count: usize, size: usize) {
    fs::create_dir_all(dir).expect("make a directory");
    for index in 0..count {
        let file = File::create(dir.join(name(index)));
        file.and_then(|mut file| fill(&mut file, size as u64, index as u64)).expect("make a file");
    }
}

/// Makes `count` layers below `dir`, and returns them topmost first. Each has a directory `dir` with one file of its
/// own (`own0`, …); the lowest has `names` more files.
pub fn layers(dir: &Path, count: usize, names: usize) -> Vec<PathBuf> {
    let layers: Vec<PathBuf> = (0..count).map(|index| dir.join(format!("layer{index}"))).collect();
    for (index, layer) in layers.iter().enumerate() {
        fs::create_dir_all(layer.join("dir")).expect("make a layer");
        fs::write(layer.join(format!("dir/own{index}")), []).expect("make a file");
    }
    if let Some(lowest) = layers.last() {
        files(&lowest.join("dir"), names, 0);
    }
    layers
}
