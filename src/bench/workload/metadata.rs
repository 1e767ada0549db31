//! Making, renaming and removing entries: new ones in the upper layer, and those of lower layers.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::super::clock::{Clock, Part};
use super::super::tree::Tree;
use super::copy_up::{chmod, touch};
use super::{Scale, Session, When, Workload, of};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "entries",
        group: "metadata",
        about: "make, rename, link and remove entries in one new directory",
        rows: &[
            ("create", "make a file, write 4 KiB, close it"),
            ("rename", "rename it in its directory"),
            ("link", "give it a second name"),
            ("symlink", "make a symbolic link"),
            ("unlink", "remove a file that has one name"),
            ("mkdir", "make a directory"),
            ("rmdir", "remove it"),
        ],
        when: When::Quick,
        sessions: |scale| {
            let (layers, files) = (scale.layers, scale.files);
            let tree = Tree::Image { layers, files: 100 };
            vec![Session::changes(tree, files * 8192, move |clock| entries(clock, layers, files))]
        },
    },
    Workload {
        name: "attributes",
        group: "metadata",
        about: "change the attributes of every lower file of an image",
        rows: &[
            ("chmod-tree", "chmod of each, as chmod -R does"),
            ("touch-tree", "utimensat of each, as touch does; in a mount of its own"),
        ],
        when: When::Default,
        sessions: |scale| vec![of_each(scale, "chmod-tree", chmod), of_each(scale, "touch-tree", touch)],
    },
    Workload {
        name: "over-lower",
        group: "metadata",
        about: "remove and rename what is in lower layers, and make anew what was removed",
        rows: &[
            ("whiteout", "unlink a lower file"),
            ("create-over", "make a file where a lower one was removed"),
            ("rename-lower", "rename a lower file in its directory"),
            ("opaque", "remove an emptied lower directory and make it anew"),
        ],
        when: When::Quick,
        sessions: |scale| {
            let (layers, files) = (scale.layers, scale.files);
            let tree = Tree::Image { layers, files };
            let (writes, names, dirs) = (tree.bytes() + files * 4096, tree.files(), tree.directories());
            vec![Session::changes(tree, writes, move |clock| over_lower(clock, layers, &names, &dirs))]
        },
    },
    Workload {
        name: "remove",
        group: "remove",
        about: "remove a whole lower tree, as rm -rf does",
        rows: &[("remove-tree", "list every directory, unlink every file, rmdir every directory")],
        when: When::Quick,
        sessions: |scale| {
            let (layers, files) = (scale.layers, scale.files);
            let tree = Tree::Image { layers, files };
            let tops: Vec<PathBuf> = tops(&tree);
            vec![Session::changes(tree, files * 4096, move |clock| {
                let root = clock.root().to_path_buf();
                clock.time(Part::new("remove-tree", of(layers, files)).operations(files as usize), || {
                    tops.iter().try_for_each(|top| fs::remove_dir_all(root.join(top)))
                })
            })]
        },
    },
];

/// The top directories of an image that hold files.
fn tops(tree: &Tree) -> Vec<PathBuf> {
    let dirs = tree.directories();
    let mut tops: Vec<PathBuf> = dirs.iter().filter_map(|dir| dir.parent().map(Path::to_path_buf)).collect();
    tops.dedup();
    tops
}

fn of_each(scale: &Scale, row: &'static str, change: fn(&Path) -> io::Result<()>) -> Session {
    let (layers, files) = (scale.layers, scale.files);
    let tree = Tree::Image { layers, files };
    let (writes, names) = (tree.bytes(), tree.files());
    Session::changes(tree, writes, move |clock| {
        let root = clock.root().to_path_buf();
        let part = Part::new(row, of(layers, files)).operations(names.len());
        clock.each(part, &names, |name| change(&root.join(name)))
    })
}

fn entries(clock: &mut Clock<'_>, layers: u32, files: u64) -> io::Result<()> {
    let dir = clock.path("made");
    fs::create_dir(&dir)?;
    let parameters = of(layers, files);
    let count = files as usize;
    let part = |row: &str| Part::new(row, parameters).operations(count);
    let name = |kind: &str, n: usize| dir.join(format!("{kind}{n:06}"));
    let content = [0x5a; 4096];
    clock.each(part("create").changed(files * 4096), 0..count, |n| write_new(&name("file", n), &content))?;
    clock.each(part("rename"), 0..count, |n| fs::rename(name("file", n), name("renamed", n)))?;
    clock.each(part("link"), 0..count, |n| fs::hard_link(name("renamed", n), name("link", n)))?;
    (0..count).try_for_each(|n| fs::remove_file(name("link", n)))?;
    clock.each(part("symlink"), 0..count, |n| symlink("renamed", name("symlink", n)))?;
    (0..count).try_for_each(|n| fs::remove_file(name("symlink", n)))?;
    clock.each(part("unlink"), 0..count, |n| fs::remove_file(name("renamed", n)))?;
    clock.each(part("mkdir"), 0..count, |n| fs::create_dir(name("dir", n)))?;
    clock.each(part("rmdir"), 0..count, |n| fs::remove_dir(name("dir", n)))
}

/// Makes a file that is not there yet, writes `content` and closes it.
///
/// # Errors
/// As `open(2)` and `write(2)`.
pub fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    File::options().write(true).create_new(true).open(path)?.write_all(content)
}

/// Works on three equal parts of the names: removes files and makes them anew, renames files, and empties directories
/// to remove them and make them anew.
fn over_lower(clock: &mut Clock<'_>, layers: u32, names: &[PathBuf], dirs: &[PathBuf]) -> io::Result<()> {
    let root = clock.root().to_path_buf();
    let parameters = of(layers, names.len() as u64);
    let emptied = &dirs[..dirs.len() / 3];
    let is_emptied = |name: &&PathBuf| name.parent().is_some_and(|dir| emptied.iter().any(|e| e == dir));
    let (inside, others): (Vec<&PathBuf>, Vec<&PathBuf>) = names.iter().partition(is_emptied);
    let (removed, renamed) = others.split_at(others.len() / 2);
    let part = |row: &str, count: usize| Part::new(row, parameters).operations(count);

    clock.each(part("whiteout", removed.len()), removed, |name| fs::remove_file(root.join(name)))?;
    clock.each(part("create-over", removed.len()), removed, |name| write_new(&root.join(name), &[0x5a; 4096]))?;
    clock.each(part("rename-lower", renamed.len()), renamed, |name| {
        fs::rename(root.join(name), root.join(name).with_extension("renamed"))
    })?;
    inside.iter().try_for_each(|name| fs::remove_file(root.join(name)))?;
    clock.each(part("opaque", emptied.len()), emptied, |dir| {
        // Some FUSE file systems list entries in the emptied directory: removes these, so that rmdir works.
        for left in fs::read_dir(root.join(dir))? {
            fs::remove_file(left?.path())?;
        }
        fs::remove_dir(root.join(dir))?;
        fs::create_dir(root.join(dir))
    })
}
