//! Benchmarks of the union without a mount: the cost of a lookup and a listing without FUSE messages.
#![allow(clippy::expect_used, clippy::unwrap_used, unsafe_code)]

#[path = "plan/mod.rs"]
mod plan;
#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use overfuse::layer::{Found, Verdict, resolve};
use overfuse::sys::{Kind, Name, Result, Stat};
use overfuse::union::{NodeId, Spec, Union};

const LAYERS: [usize; 5] = [1, 8, 32, 128, 500];

fn found(kind: Kind) -> Verdict {
    Verdict::Entry(Found::plain(Stat { kind, perm: 0o755, ..Stat::default() }))
}

/// Resolving the layers' verdicts only: a file in the lowest layer, and a directory in all layers.
fn resolution(c: &mut Criterion) {
    let mut group = c.benchmark_group("resolve");
    for layers in LAYERS {
        group.throughput(Throughput::Elements(layers as u64));
        let all = |seen: fn(bool) -> Verdict| {
            let verdicts: Vec<Verdict> = (1..=layers).map(|layer| seen(layer == layers)).collect();
            move || resolve(verdicts.iter().cloned().enumerate().map(Result::Ok))
        };
        let lowest = all(|is_lowest| if is_lowest { found(Kind::Regular) } else { Verdict::Nothing });
        group.bench_function(BenchmarkId::new("file-in-lowest", layers), |b| b.iter(&lowest));
        let merged = all(|_| found(Kind::Directory));
        group.bench_function(BenchmarkId::new("directory-in-all", layers), |b| b.iter(&merged));
    }
    group.finish();
}

/// A union of layers that all have `/dir`, and the node of that directory.
fn open(layers: &[std::path::PathBuf]) -> (Union, NodeId) {
    let union = Union::open(&Spec::new(layers.to_vec())).expect("open the layers");
    let dir = find(&union, NodeId::ROOT, "dir").expect("the layers have it");
    (union, dir)
}

fn find(union: &Union, dir: NodeId, name: &str) -> Option<NodeId> {
    let name = Name::new(name).expect("a name");
    union.lookup(dir, name).expect("look up").map(|attr| attr.id)
}

/// Looks up one name in a directory that every layer has. Forgets the node each time, so that every lookup is a first
/// one.
fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("lookup");
    for layers in LAYERS {
        let place = plan::place();
        let (union, dir) = open(&plan::layers(place.path(), layers, 1));
        for (what, name) in [("highest", "own0"), ("lowest", "file000000"), ("missing", "nowhere")] {
            group.bench_function(BenchmarkId::new(what, layers), |b| {
                b.iter(|| {
                    if let Some(id) = black_box(find(&union, dir, name)) {
                        union.forget(id, 1);
                    }
                });
            });
        }
    }
    group.finish();
}

/// Lists all names of a directory.
fn read_dir(c: &mut Criterion) {
    let mut group = c.benchmark_group("readdir");
    for (layers, names) in [(1, 10), (1, 1_000), (1, 10_000), (8, 10_000), (128, 1_000)] {
        let place = plan::place();
        let (union, dir) = open(&plan::layers(place.path(), layers, names));
        group.throughput(Throughput::Elements((names + layers) as u64));
        group.bench_function(BenchmarkId::new(format!("{layers}-layers"), names), |b| {
            b.iter(|| {
                let mut count = 0;
                let mut offset = 0;
                loop {
                    let items = union.read_dir(dir, offset).expect("list");
                    let Some(last) = items.last() else { break count };
                    offset = last.offset;
                    count += items.len();
                }
            });
        });
    }
    group.finish();
}

criterion_group! { name = union; config = plan::criterion(); targets = resolution, lookup, read_dir }
criterion_main!(union);
