//! Starting a container, and how the number of layers affects it.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::super::clock::{Clock, Part};
use super::super::tree::{PROGRAM, Tree};
use super::lookup::{miss_all, read_one, stat_all};
use super::walk::{Depth, walk};
use super::{Session, When, Workload, of, points};
use crate::sys::process::{self, Status};
use crate::sys::{Dir, Errno, Namespaces};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "start",
        group: "start",
        about: "start a container: mount an image, change the root to it, run a program; read what a start reads",
        rows: &[
            ("start-mount", "from the start of the mounting program until the mount is live"),
            ("start-run", "fork, chroot, exec of a static program, and its end"),
            ("start-read", "read one file in sixteen, as much of an image as starting it reads (HelloBench: 6.4 %)"),
            ("start-run-again", "the program once more"),
        ],
        when: When::Quick,
        sessions: |scale| {
            let (layers, files) = (scale.layers, scale.files);
            vec![Session::reads(Tree::Image { layers, files }, move |clock| start(clock, layers, files))]
        },
    },
    Workload {
        name: "layers",
        group: "layers",
        about: "an image of the same files in 1, 8, 32, 128 and 500 layers",
        rows: &[
            ("layers-mount", "from the start of the mounting program until the mount is live"),
            ("layers-stat-first", "lstat of every file"),
            ("layers-missing-first", "lstat of a missing name beside each file"),
            ("layers-du-first", "list every directory and lstat every entry; in a mount of its own"),
        ],
        when: When::Default,
        sessions: |scale| {
            let files = scale.files;
            let counts = points(&[1, 8, 32, 128, 500], scale.layers_most.into());
            let session = |layers: u64| {
                let layers = u32::try_from(layers).unwrap_or(u32::MAX);
                let tree = Tree::Image { layers, files };
                let (names, missing) = (tree.files(), tree.missing());
                let lookups = Session::reads(tree.clone(), move |clock| {
                    let root = clock.root().to_path_buf();
                    let part = |row: &str| Part::new(row, of(layers, files));
                    clock.mounted(part("layers-mount"))?;
                    clock.time(part("layers-stat-first").operations(names.len()), || stat_all(&root, &names))?;
                    clock.time(part("layers-missing-first").operations(missing.len()), || miss_all(&root, &missing))
                });
                let walks = Session::reads(tree, move |clock| {
                    let root = clock.root().to_path_buf();
                    let part = Part::new("layers-du-first", of(layers, files));
                    clock.time(part, || walk(&root, Depth::Attributes)).map(drop)
                });
                [lookups, walks]
            };
            counts.into_iter().flat_map(session).collect()
        },
    },
];

fn start(clock: &mut Clock<'_>, layers: u32, files: u64) -> io::Result<()> {
    let tree = Tree::Image { layers, files };
    let root = clock.root().to_path_buf();
    let part = |row: &str| Part::new(row, of(layers, files));
    clock.mounted(part("start-mount"))?;
    clock.time(part("start-run"), || run(&root))?;
    let names = tree.files();
    let read: Vec<_> = names.iter().take(names.len().div_ceil(16)).collect();
    let mut buffer = vec![0; 64 << 10];
    clock.each(part("start-read").operations(read.len()), read, |name| {
        read_one(&root.join(name), &mut buffer).map(drop)
    })?;
    clock.time(part("start-run-again"), || run(&root))
}

/// Runs the program of an image with the image as its root directory, or without a change of root if that is not
/// permitted.
///
/// # Errors
/// When it cannot be started, or exits with another status than 0.
pub fn run(root: &Path) -> io::Result<()> {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let inside = text(&Path::new("/").join(PROGRAM))?;
    let outside = text(&root.join(PROGRAM))?;
    let dir = Dir::open_host(root)?;
    let child = process::spawn(Namespaces::empty(), || {
        let program = match process::change_root(&dir) {
            Ok(()) => &inside,
            Err(_) => &outside,
        };
        let error = match process::execute(program, std::slice::from_ref(program), &[]) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        if error == Errno::NOENT { 127 } else { 126 }
    })?;
    match child.wait()? {
        Status::Exited(0) => Ok(()),
        status => Err(io::Error::other(format!("{PROGRAM} ended with {}", status.code()))),
    }
}
