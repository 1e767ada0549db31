//! Trees that are too deep for one path: reached step by step, as in the kernel's overlayfs.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{self as rfs, AtFlags, Mode, OFlags};

use crate::need;
use crate::support::{Layers, Subject, scratch};

/// With names of this length the tree is several times deeper than a path can be, and too deep for recursion on the
/// stack.
const NAME: &str = "dddddddddd";
const DEPTH: usize = 1200;

fn step(dir: impl AsFd) -> File {
    rfs::openat(dir, NAME, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .expect("step down")
        .into()
}

fn dig(root: &Path) -> File {
    let mut dir = File::open(root).expect("open the root");
    for _ in 0..DEPTH {
        rfs::mkdirat(&dir, NAME, Mode::from_raw_mode(0o755)).expect("dig");
        dir = step(&dir);
    }
    dir
}

#[test]
fn a_tree_deeper_than_any_path_is_walked_and_changed() {
    need!(fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\nlower:");
    let bottom = dig(&layers.lowers[0]);
    rfs::mkdirat(&bottom, "last", Mode::from_raw_mode(0o755)).expect("dig");
    drop(bottom);
    for round in ["first", "second"] {
        let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("at"));
        let mut at = File::open(mounted.at()).expect("open the mount");
        for _ in 0..DEPTH {
            at = step(&at);
        }
        rfs::mkdirat(&at, round, Mode::from_raw_mode(0o755)).expect("make a directory at the bottom");
        rfs::renameat(&at, round, &at, format!("{round}-renamed")).expect("rename at the bottom");
        rfs::statat(&at, "last", AtFlags::empty()).expect("stat a lower one at the bottom");
        drop(at);
        mounted.unmount();
    }
    let mut bottom = File::open(layers.upper()).expect("open the upper");
    for _ in 0..DEPTH {
        bottom = step(&bottom);
    }
    let names = ["first-renamed", "second-renamed"];
    assert!(names.iter().all(|name| rfs::statat(&bottom, *name, AtFlags::empty()).is_ok()));
    drop(bottom);
    // The library that removes the scratch directory recurses for each level.
    for tree in [layers.upper(), &layers.lowers[0]] {
        let removed = std::process::Command::new("rm").arg("-rf").arg(tree).status().expect("start rm");
        assert!(removed.success());
    }
}
