//! The contents of one large file: read and written in order and at random, by one client and by four.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::super::clock::{Clock, Part};
use super::super::result::Parameters;
use super::super::tree::{Tree, fill, mix};
use super::lookup::{read_one, split};
use super::{Scale, Session, When, Workload};
use crate::sys::FileMap;

/// The largest file, in bytes; a larger one gives the same result.
const LARGEST: u64 = 1 << 30;
/// The largest file that is written in small pieces, in bytes.
const LARGEST_IN_PIECES: u64 = 64 << 20;
/// The largest file that gets random writes, in bytes.
const LARGEST_AT_RANDOM: u64 = 256 << 20;
/// The size of a random read or write, in bytes.
pub const PAGE: usize = 4096;
/// The size of one read or write of `cat` and `cp`, in bytes.
const BLOCK: usize = 128 << 10;

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "read",
        group: "io",
        about: "read a large lower file in order, 128 KiB at a time",
        rows: &[("read-first", "for the first time in this mount"), ("read-again", "the same once more")],
        when: When::Quick,
        sessions: |scale| {
            let size = scale.size.min(LARGEST);
            vec![Session::reads(tree(scale, size), move |clock| read(clock, size))]
        },
    },
    Workload {
        name: "read-mapped",
        group: "io",
        about: "read a large lower file through mmap, then 4 KiB at a time at random",
        rows: &[
            ("mmap-first", "a byte of every page of a map"),
            ("read-random", "pread of 4 KiB anywhere, by 1 and 4 clients"),
        ],
        when: When::Default,
        sessions: |scale| {
            let size = scale.size.min(LARGEST);
            let count = accesses(scale);
            vec![Session::reads(tree(scale, size), move |clock| read_mapped(clock, size, count))]
        },
    },
    Workload {
        name: "write",
        group: "io",
        about: "write new files: in order, in small pieces, at random, and synced",
        rows: &[
            ("write", "a new large file in order, 128 KiB at a time"),
            ("write-4k", "a new file of at most 64 MiB in order, 4 KiB at a time"),
            ("write-random", "4 KiB anywhere in a file that was written before, by 1 and 4 clients"),
            ("fsync", "append 4 KiB, then fsync"),
        ],
        when: When::Quick,
        sessions: |scale| {
            let (size, count) = (scale.size.min(LARGEST), accesses(scale));
            vec![Session::changes(
                Tree::Large { layers: scale.layers, sizes: vec![PAGE as u64] },
                size * 3,
                move |clock| write(clock, size, count),
            )]
        },
    },
];

fn tree(scale: &Scale, size: u64) -> Tree {
    Tree::Large { layers: scale.layers, sizes: vec![size] }
}

/// The number of random reads or writes of one file.
fn accesses(scale: &Scale) -> u64 {
    (scale.files * 4).min(20_000)
}

fn of(size: u64, threads: u32) -> Parameters {
    Parameters { size: Some(size), threads: Some(threads), ..Parameters::default() }
}

fn read(clock: &mut Clock<'_>, size: u64) -> io::Result<()> {
    let file = clock.path(format!("large/{size}"));
    let mut buffer = vec![0; BLOCK];
    for row in ["read-first", "read-again"] {
        let got = clock.time(Part::new(row, of(size, 1)).bytes(size), || read_one(&file, &mut buffer))?;
        if got != size {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

fn read_mapped(clock: &mut Clock<'_>, size: u64, count: u64) -> io::Result<()> {
    let path = clock.path(format!("large/{size}"));
    let file = File::open(&path)?;
    clock.time(Part::new("mmap-first", of(size, 1)).bytes(size), || read_map(&file))?;
    for threads in [1, 4] {
        let offsets = offsets(size, count);
        let part = Part::new("read-random", of(size, threads)).operations(offsets.len());
        if threads == 1 {
            let mut page = [0; PAGE];
            clock.each(part, &offsets, |offset| file.read_exact_at(&mut page, *offset))?;
        } else {
            clock.time(part, || split(&offsets, threads, |offsets| read_at_random(&path, offsets)))?;
        }
    }
    Ok(())
}

/// Maps a file and reads a byte of every page.
///
/// # Errors
/// As `mmap(2)`.
pub fn read_map(file: &File) -> io::Result<u64> {
    let map = FileMap::new(file)?;
    Ok(black_box(map.iter().step_by(PAGE).map(|byte| u64::from(*byte)).sum()))
}

/// Reads 4 KiB of the file at each of `offsets`.
///
/// # Errors
/// As `open(2)` and `pread(2)`.
pub fn read_at_random(path: &Path, offsets: &[u64]) -> io::Result<()> {
    let file = File::open(path)?;
    let mut page = [0; PAGE];
    offsets.iter().try_for_each(|offset| file.read_exact_at(&mut page, *offset))
}

/// Writes 4 KiB of the file at each of `offsets`.
///
/// # Errors
/// As `open(2)` and `pwrite(2)`.
pub fn write_at_random(path: &Path, offsets: &[u64]) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let page = [0x5a; PAGE];
    offsets.iter().try_for_each(|offset| file.write_all_at(&page, *offset))
}

/// `count` offsets of pages in a file of `size` bytes, in random order; the order is the same in each run.
pub fn offsets(size: u64, count: u64) -> Vec<u64> {
    let pages = (size / PAGE as u64).max(1);
    (0..count).map(|n| mix(n) % pages * PAGE as u64).collect()
}

fn write(clock: &mut Clock<'_>, size: u64, count: u64) -> io::Result<()> {
    let path = clock.path("written");
    clock.time(Part::new("write", of(size, 1)).bytes(size).changed(size), || write_in_pieces(&path, size, BLOCK))?;
    fs::remove_file(&path)?;

    let small = size.min(LARGEST_IN_PIECES);
    let part = Part::new("write-4k", of(small, 1)).bytes(small).changed(small);
    clock.time(part, || write_in_pieces(&path, small, PAGE))?;
    fs::remove_file(&path)?;

    let random = size.min(LARGEST_AT_RANDOM);
    fill(&mut File::create(&path)?, random, 1)?;
    for threads in [1, 4] {
        let offsets = offsets(random, count);
        let part = Part::new("write-random", of(random, threads)).operations(offsets.len());
        if threads == 1 {
            let (file, page) = (File::options().write(true).open(&path)?, [0x5a; PAGE]);
            clock.each(part, &offsets, |offset| file.write_all_at(&page, *offset))?;
        } else {
            clock.time(part, || split(&offsets, threads, |offsets| write_at_random(&path, offsets)))?;
        }
    }
    fs::remove_file(&path)?;

    const SYNCS: usize = 50;
    let mut file = File::create(&path)?;
    let part = Part::new("fsync", Parameters::default()).operations(SYNCS);
    clock.each(part, 0..SYNCS, |_| {
        file.write_all(&[0x5a; PAGE])?;
        file.sync_all()
    })
}

/// Makes a file of `size` bytes, `piece` at a time, and closes it.
///
/// # Errors
/// As `open(2)` and `write(2)`.
pub fn write_in_pieces(path: &Path, size: u64, piece: usize) -> io::Result<()> {
    let piece = vec![0x5a; piece];
    let mut file = File::create(path)?;
    let mut left = size;
    while left > 0 {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        file.write_all(&piece[..len])?;
        left -= len as u64;
    }
    Ok(())
}
