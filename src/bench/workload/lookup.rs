//! Lookup of existing and of missing names: every `open`, `stat` and `access` begins with one.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::thread;

use super::super::clock::{Clock, Part};
use super::super::result::Parameters;
use super::super::tree::Tree;
use super::{Scale, Session, When, Workload, of};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "stat",
        group: "lookup",
        about: "one client looks up, opens and reads every file of an image, in no order, and as many missing names",
        rows: &[
            ("stat-first", "lstat of every file, for the first time in this mount"),
            ("stat-again", "the same once more"),
            ("missing-first", "lstat of a missing name beside each file"),
            ("missing-again", "the same once more"),
            ("open-first", "open, read to the end and close each file"),
            ("open-again", "the same once more"),
        ],
        when: When::Quick,
        sessions: |scale| {
            let (tree, parameters) = (image(scale), of(scale.layers, scale.files));
            let (files, missing) = (tree.files(), tree.missing());
            vec![Session::reads(tree, move |clock| stat(clock, parameters, &files, &missing))]
        },
    },
    Workload {
        name: "stat-clients",
        group: "lookup",
        about: "2 and 4 clients look up every file of an image, each its part",
        rows: &[("stat-clients-first", "lstat of every file, split among the clients")],
        when: When::Default,
        sessions: |scale| {
            let session = |threads: u32| {
                let tree = image(scale);
                let parameters = Parameters { threads: Some(threads), ..of(scale.layers, scale.files) };
                let files = tree.files();
                Session::reads(tree, move |clock| {
                    let root = clock.root().to_path_buf();
                    let part = Part::new("stat-clients-first", parameters).operations(files.len());
                    clock.time(part, || split(&files, threads, |files| stat_all(&root, files)))
                })
            };
            [2, 4].map(session).into()
        },
    },
];

fn image(scale: &Scale) -> Tree {
    Tree::Image { layers: scale.layers, files: scale.files }
}

fn stat(clock: &mut Clock<'_>, parameters: Parameters, files: &[PathBuf], missing: &[PathBuf]) -> io::Result<()> {
    let root = clock.root().to_path_buf();
    for row in ["stat-first", "stat-again"] {
        clock.each(Part::new(row, parameters).operations(files.len()), files, |file| stat_one(&root.join(file)))?;
    }
    for row in ["missing-first", "missing-again"] {
        clock.each(Part::new(row, parameters).operations(missing.len()), missing, |name| miss_one(&root.join(name)))?;
    }
    let mut buffer = vec![0; 64 << 10];
    for row in ["open-first", "open-again"] {
        clock.each(Part::new(row, parameters).operations(files.len()), files, |file| {
            read_one(&root.join(file), &mut buffer).map(drop)
        })?;
    }
    Ok(())
}

/// `lstat` of all `files` below `root`.
///
/// # Errors
/// The first error of `lstat(2)`.
pub fn stat_all(root: &Path, files: &[PathBuf]) -> io::Result<()> {
    files.iter().try_for_each(|file| stat_one(&root.join(file)))
}

/// `lstat` of one name.
///
/// # Errors
/// As `lstat(2)`.
pub fn stat_one(path: &Path) -> io::Result<()> {
    fs::symlink_metadata(path).map(drop)
}

/// `lstat` of names that do not exist.
///
/// # Errors
/// When one exists, or the error is not `ENOENT`.
pub fn miss_all(root: &Path, names: &[PathBuf]) -> io::Result<()> {
    names.iter().try_for_each(|name| miss_one(&root.join(name)))
}

/// `lstat` of a name that does not exist.
///
/// # Errors
/// When it exists, or the error is not `ENOENT`.
pub fn miss_one(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(ErrorKind::AlreadyExists, format!("{} exists", path.display()))),
    }
}

/// Opens, reads to the end and closes a file; returns the number of bytes read.
///
/// # Errors
/// As `open(2)` and `read(2)`.
pub fn read_one(path: &Path, buffer: &mut [u8]) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut length = 0;
    loop {
        match file.read(buffer)? {
            0 => return Ok(length),
            got => length += got as u64,
        }
    }
}

/// Splits `list` into equal parts and does `work` on each in a thread of its own.
///
/// # Errors
/// The error of a part that fails.
pub(super) fn split<T: Sync>(list: &[T], threads: u32, work: impl Fn(&[T]) -> io::Result<()> + Sync) -> io::Result<()> {
    let size = list.len().div_ceil(threads.max(1) as usize).max(1);
    let work = &work;
    thread::scope(|scope| {
        let workers: Vec<_> = list.chunks(size).map(|part| scope.spawn(move || work(part))).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(io::Error::other("a client panicked"))))
    })
}
