//! Walks of whole trees, as `find`, `du` and `tar` do them.

use std::fs;
use std::io;
use std::path::Path;

use super::super::clock::Part;
use super::super::tree::Tree;
use super::lookup::read_one;
use super::{Scale, Session, When, Workload, of};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "find",
        group: "walk",
        about: "list every directory of an image, as find does",
        rows: &[("find-first", "for the first time in this mount"), ("find-again", "the same once more")],
        when: When::Default,
        sessions: |scale| vec![session(scale, ["find-first", "find-again"], Depth::Names)],
    },
    Workload {
        name: "du",
        group: "walk",
        about: "list every directory of an image and lstat every entry, as du and find -size do",
        rows: &[("du-first", "for the first time in this mount"), ("du-again", "the same once more")],
        when: When::Quick,
        sessions: |scale| vec![session(scale, ["du-first", "du-again"], Depth::Attributes)],
    },
    Workload {
        name: "tar",
        group: "walk",
        about: "list, lstat and read everything in an image, as tar c does",
        rows: &[("tar-first", "for the first time in this mount"), ("tar-again", "the same once more")],
        when: When::Quick,
        sessions: |scale| vec![session(scale, ["tar-first", "tar-again"], Depth::Contents)],
    },
];

/// What a walk reads of each entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Lists directories.
    Names,
    /// Lists directories and asks for attributes.
    Attributes,
    /// Reads every file.
    Contents,
}

/// The totals of a walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// The number of entries that are not directories.
    pub files: u64,
    /// The number of bytes read.
    pub bytes: u64,
}

fn session(scale: &Scale, rows: [&'static str; 2], depth: Depth) -> Session {
    let (layers, files) = (scale.layers, scale.files);
    Session::reads(Tree::Image { layers, files }, move |clock| {
        let root = clock.root().to_path_buf();
        for row in rows {
            let found = clock.time(Part::new(row, of(layers, files)), || walk(&root, depth))?;
            if found.files < files {
                return Err(io::Error::other(format!("{} files found of {files}", found.files)));
            }
        }
        Ok(())
    })
}

/// Walks everything below `root`.
///
/// # Errors
/// The first error of any entry.
pub fn walk(root: &Path, depth: Depth) -> io::Result<Walked> {
    let mut walked = Walked::default();
    let mut buffer = vec![0; 64 << 10];
    let mut todo = vec![root.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let kind = if depth >= Depth::Attributes { entry.metadata()?.file_type() } else { entry.file_type()? };
            if kind.is_dir() {
                todo.push(entry.path());
                continue;
            }
            walked.files += 1;
            if depth >= Depth::Contents && kind.is_file() {
                walked.bytes += read_one(&entry.path(), &mut buffer)?;
            }
        }
    }
    Ok(walked)
}
