//! Benchmarks of unpacking and packing layers: the cost of loading and committing an image without compression.
#![allow(clippy::expect_used, clippy::unwrap_used, unsafe_code)]

#[path = "plan/mod.rs"]
mod plan;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use overfuse::layer::{Namespace, Owners, Policy};
use overfuse::sys::Dir;
use overfuse::tar::{Over, pack, unpack};

/// Two trees: in one the number of entries dominates, in the other the number of bytes.
const TREES: [(&str, usize, usize); 2] = [("2000-files-4KiB", 2_000, 4 << 10), ("4-files-16MiB", 4, 16 << 20)];

fn policy() -> Policy {
    Policy { marks: Namespace::of_this_process(), owners: Owners::Real }
}

fn archive(tree: &Path) -> Vec<u8> {
    pack(Over::nothing(&open(tree)), policy(), Vec::new()).expect("pack")
}

fn open(path: &Path) -> Dir {
    Dir::open_host(path).expect("open a directory")
}

fn packing(c: &mut Criterion) {
    let mut group = c.benchmark_group("pack");
    group.sample_size(10);
    for (name, count, size) in TREES {
        let place = plan::place();
        plan::files(&place.path().join("dir"), count, size);
        let tree = open(place.path());
        group.throughput(Throughput::Bytes((count * size) as u64));
        // Writes into allocated memory: with a sink the kernel could skip copying the data.
        let mut archive = archive(place.path());
        group.bench_function(name, |b| {
            b.iter(|| {
                archive.clear();
                pack(Over::nothing(&tree), policy(), &mut archive).expect("pack");
            });
        });
    }
    group.finish();
}

/// Each iteration unpacks into a directory of its own; removing it is not timed.
fn unpacking(c: &mut Criterion) {
    let mut group = c.benchmark_group("unpack");
    group.sample_size(10);
    for (name, count, size) in TREES {
        let place = plan::place();
        plan::files(&place.path().join("dir"), count, size);
        let archive = archive(place.path());
        drop(place);
        group.throughput(Throughput::Bytes((count * size) as u64));
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                plan::place,
                |into| unpack(&archive[..], &open(into.path()), policy()).expect("unpack"),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group! { name = archives; config = plan::criterion(); targets = packing, unpacking }
criterion_main!(archives);
