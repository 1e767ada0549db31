//! Listing of directories with few and with very many names, merged from all layers.

use std::fs;
use std::io;
use std::path::Path;

use super::super::clock::{Clock, Part};
use super::super::result::Parameters;
use super::super::tree::Tree;
use super::{Scale, Session, When, Workload, of, points};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "readdir",
        group: "readdir",
        about: "list one directory of 10 to 100,000 names that come from all layers in turn",
        rows: &[
            ("readdir-first", "list it, for the first time in this mount"),
            ("readdir-again", "the same once more"),
        ],
        when: When::Quick,
        sessions: |scale| sessions(scale, readdir),
    },
    Workload {
        name: "readdir-stat",
        group: "readdir",
        about: "list such a directory and lstat each name, as ls -l does",
        rows: &[
            ("readdir-stat-first", "list it with attributes, for the first time in this mount"),
            ("readdir-stat-again", "the same once more"),
        ],
        when: When::Default,
        sessions: |scale| sessions(scale, readdir_stat),
    },
];

fn sessions(scale: &Scale, work: fn(&mut Clock<'_>, Parameters, u64) -> io::Result<()>) -> Vec<Session> {
    let session = |files: u64| {
        let tree = Tree::Wide { layers: scale.layers, files };
        let parameters = of(scale.layers, files);
        Session::reads(tree, move |clock| work(clock, parameters, files))
    };
    points(&[10, 100, 1000, 10_000, 100_000], scale.files_most).into_iter().map(session).collect()
}

fn readdir(clock: &mut Clock<'_>, parameters: Parameters, files: u64) -> io::Result<()> {
    let dir = clock.path("wide");
    for row in ["readdir-first", "readdir-again"] {
        let found = clock.time(Part::new(row, parameters), || list(&dir))?;
        complete(found, files)?;
    }
    Ok(())
}

fn readdir_stat(clock: &mut Clock<'_>, parameters: Parameters, files: u64) -> io::Result<()> {
    let dir = clock.path("wide");
    for row in ["readdir-stat-first", "readdir-stat-again"] {
        let found = clock.time(Part::new(row, parameters), || list_with_attributes(&dir))?;
        complete(found, files)?;
    }
    Ok(())
}

/// An error if names are missing: an incomplete listing must not count as a fast one.
fn complete(found: u64, files: u64) -> io::Result<()> {
    if found == files { Ok(()) } else { Err(io::Error::other(format!("{found} names listed of {files}"))) }
}

/// Lists `dir`; returns the number of names.
///
/// # Errors
/// As `getdents64(2)`.
pub fn list(dir: &Path) -> io::Result<u64> {
    fs::read_dir(dir)?.try_fold(0, |count, entry| entry.map(|_| count + 1))
}

/// Lists `dir` and gets the attributes of each name; returns the number of names.
///
/// # Errors
/// As `getdents64(2)` and `lstat(2)`.
pub fn list_with_attributes(dir: &Path) -> io::Result<u64> {
    fs::read_dir(dir)?.try_fold(0, |count, entry| {
        entry?.metadata()?;
        Ok(count + 1)
    })
}
