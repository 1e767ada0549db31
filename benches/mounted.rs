//! Benchmarks of a live mount, served by the program itself: the cost of metadata and data for its users.
//!
//! `first` means the first access in this mount; `again` means that the kernel may answer from its caches.
#![allow(clippy::expect_used, clippy::unwrap_used, unsafe_code)]

#[path = "plan/mod.rs"]
mod plan;
#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use overfuse::bench::workload::{copy_up, io, lookup, metadata, readdir};
use tempfile::TempDir;

use support::{Layers, Mounted, Subject};

const LAYERS: [usize; 3] = [1, 8, 128];
/// The number of names in the lowest layer.
const NAMES: usize = 2_000;
const LARGE: usize = 64 << 20;

/// Layers that are mounted many times, each time with an empty upper layer.
struct Stand {
    place: TempDir,
    lowers: Vec<PathBuf>,
}

impl Stand {
    fn new(layers: usize, names: usize) -> Stand {
        let place = plan::place();
        let lowers = plan::layers(place.path(), layers, names);
        Stand { place, lowers }
    }

    fn lowest(&self) -> &Path {
        self.lowers.last().expect("there is a layer")
    }

    fn mount(&self) -> Mounted {
        let [upper, work, at] = ["upper", "work", "at"].map(|name| self.place.path().join(name));
        for dir in [&upper, &work] {
            // Fails the first time, because there is no such directory yet.
            let _ = fs::remove_dir_all(dir);
            fs::create_dir(dir).expect("make a directory");
        }
        Subject::Overfuse.mount(&Layers { lowers: self.lowers.clone(), upper: Some((upper, work)) }, &at)
    }

    /// The time of `count` calls of `act`, each on another of the `names` files of `dir`. When all files are used,
    /// mounts anew and begins again.
    fn time_each<T>(&self, count: u64, names: usize, act: impl Fn(&Path) -> std::io::Result<T>) -> Duration {
        let mut left = usize::try_from(count).expect("so many fit no memory");
        let mut spent = Duration::ZERO;
        while left > 0 {
            let mount = self.mount();
            let paths: Vec<PathBuf> =
                (0..names.min(left)).map(|index| mount.at().join("dir").join(plan::name(index))).collect();
            let start = Instant::now();
            for path in &paths {
                black_box(act(path).expect("what is timed succeeds"));
            }
            spent += start.elapsed();
            left -= paths.len();
            mount.unmount();
        }
        spent
    }
}

fn read_whole(path: &Path) -> std::io::Result<u64> {
    lookup::read_one(path, &mut vec![0; 128 << 10])
}

fn names(c: &mut Criterion) {
    need!(fuse);
    let mut group = c.benchmark_group("metadata");
    for layers in LAYERS {
        let stand = Stand::new(layers, NAMES);
        group.bench_function(BenchmarkId::new("stat-first", layers), |b| {
            b.iter_custom(|count| stand.time_each(count, NAMES, lookup::stat_one));
        });
        group.bench_function(BenchmarkId::new("stat-missing-first", layers), |b| {
            b.iter_custom(|count| stand.time_each(count, NAMES, |path| lookup::miss_one(&path.with_extension("gone"))));
        });
    }
    let stand = Stand::new(8, NAMES);
    let mount = stand.mount();
    let dir = mount.at().join("dir");
    let file = dir.join(plan::name(0));
    group.bench_function("stat-again", |b| b.iter(|| lookup::stat_one(&file).expect("stat")));
    group.bench_function("stat-missing-again", |b| {
        b.iter(|| lookup::miss_one(&dir.join("gone")).expect("a missing name"))
    });
    group.bench_function("open-read-close-again", |b| b.iter(|| read_whole(&file).expect("read")));
    let mut count = 0;
    let mut fresh = || {
        count += 1;
        dir.join(format!("new{count}"))
    };
    group.bench_function("create-write-unlink", |b| {
        b.iter(|| {
            let path = fresh();
            metadata::write_new(&path, &[0; 4096]).expect("write");
            fs::remove_file(&path).expect("unlink");
        });
    });
    group.bench_function("mkdir-rmdir", |b| {
        b.iter(|| {
            let path = fresh();
            fs::create_dir(&path).expect("mkdir");
            fs::remove_dir(&path).expect("rmdir");
        });
    });
    let (one, other) = (dir.join("one"), dir.join("other"));
    fs::write(&one, []).expect("write");
    group.bench_function("rename-twice", |b| {
        b.iter(|| {
            fs::rename(&one, &other).expect("rename");
            fs::rename(&other, &one).expect("rename");
        });
    });
    group.throughput(Throughput::Elements(NAMES as u64));
    group.bench_function("readdir-again", |b| b.iter(|| readdir::list(&dir).expect("list")));
    group.finish();
}

/// The first change of a file that is only in a lower layer.
fn first_changes(c: &mut Criterion) {
    need!(fuse);
    let mut group = c.benchmark_group("copy-up");
    group.sample_size(10);
    // The data is not copied if the marks allow metacopy; then the size does not matter.
    let stand = Stand::new(1, 0);
    plan::files(&stand.lowest().join("dir"), NAMES, 4 << 10);
    group.bench_function("chmod", |b| {
        b.iter_custom(|count| stand.time_each(count, NAMES, copy_up::chmod));
    });
    for (size, names) in [(4 << 10, NAMES), (1 << 20, 64), (LARGE, 1)] {
        let stand = Stand::new(1, 0);
        plan::files(&stand.lowest().join("dir"), names, size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("first-write", size), |b| {
            b.iter_custom(|count| stand.time_each(count, names, |path| copy_up::write_a_byte(path, size as u64 / 2)));
        });
    }
    group.finish();
}

/// One large file. Its data is in the page cache of the layer, and after the first read also in that of the mount.
fn data(c: &mut Criterion) {
    need!(fuse);
    let mut group = c.benchmark_group("data");
    group.sample_size(10);
    let stand = Stand::new(1, 0);
    plan::files(&stand.lowest().join("dir"), 1, LARGE);
    group.throughput(Throughput::Bytes(LARGE as u64));
    group.bench_function("read-first", |b| b.iter_custom(|count| stand.time_each(count, 1, read_whole)));

    let mount = stand.mount();
    let file = mount.at().join("dir").join(plan::name(0));
    group.bench_function("read-again", |b| b.iter(|| read_whole(&file).expect("read")));
    let new = mount.at().join("dir/new");
    group.bench_function("write", |b| b.iter(|| io::write_in_pieces(&new, LARGE as u64, 1 << 20).expect("write")));

    let offsets = io::offsets(LARGE as u64, 1024);
    group.throughput(Throughput::Bytes((offsets.len() * io::PAGE) as u64));
    group.bench_function("random-read-4KiB-again", |b| {
        b.iter(|| io::read_at_random(&file, &offsets).expect("read"));
    });
    group.bench_function("random-write-4KiB", |b| {
        b.iter(|| io::write_at_random(&new, &offsets).expect("write"));
    });
    group.finish();
}

criterion_group! { name = mounted; config = plan::criterion(); targets = names, first_changes, data }
criterion_main!(mounted);
