//! Inode numbers: one for each file, the same in `stat` and in listings, over every change and remount.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

use crate::need;
use crate::support::need::is_root;
use crate::support::{At, Layers, Subject, scratch};

const TREES: &str = "upper:\n f up/new 644 n\n f d/u 644 u\n lower:\n f d/a 644 a\n f d/sub/x 644 x\n f only/f 644 f\n\
    h hard d/a\n lower:\n f d/b 644 b\n f d/sub/y 644 y\n l link target\n f e/z 644 z";

/// The number of every path, after checking that `stat`, listings and `..` agree and no two files share one.
fn numbers(root: &Path) -> BTreeMap<PathBuf, u64> {
    let mut all = BTreeMap::from([(PathBuf::new(), fs::metadata(root).expect("stat").ino())]);
    let mut todo = vec![PathBuf::new()];
    let dev = fs::metadata(root).expect("stat").dev();
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(root.join(&dir)).expect("list") {
            let entry = entry.expect("list");
            let path = dir.join(entry.file_name());
            let meta = root.join(&path).symlink_metadata().expect("stat");
            assert_eq!(entry.ino(), meta.ino(), "{} in its directory's listing and by itself", path.display());
            assert_eq!(meta.dev(), dev, "{}", path.display());
            all.insert(path.clone(), meta.ino());
            if meta.is_dir() {
                let parent = fs::metadata(root.join(&path).join("..")).expect("stat ..").ino();
                assert_eq!(parent, all[&dir], "{}/..", path.display());
                todo.push(path);
            }
        }
    }
    let mut names: BTreeMap<u64, Vec<&PathBuf>> = BTreeMap::new();
    for (path, number) in &all {
        names.entry(*number).or_default().push(path);
    }
    for paths in names.values().filter(|paths| paths.len() > 1) {
        let links = |path: &PathBuf| root.join(path).symlink_metadata().expect("stat").nlink();
        assert!(paths.iter().all(|path| links(path) == paths.len() as u64), "{paths:?} have one number");
    }
    all
}

fn change_everything(at: &At) {
    for file in ["d/a", "d/b", "d/sub/x", "d/sub/y", "only/f", "e/z"] {
        at.append(file, "+").gives("ok");
    }
    at.chmod("d", 0o700).gives("ok");
    at.chmod("up", 0o700).gives("ok");
}

fn stay_after_changes_and_remounts(layers: &Layers, dir: &Path) {
    let mounted = Subject::Overfuse.mount(layers, &dir.join("at"));
    let before = numbers(mounted.at());
    change_everything(&At::new(mounted.at()));
    assert_eq!(numbers(mounted.at()), before, "after every file was copied up");
    mounted.unmount();
    let mounted = Subject::Overfuse.mount(layers, &dir.join("again"));
    assert_eq!(numbers(mounted.at()), before, "after a remount");

    let at = At::new(mounted.at());
    let moves = [("d/sub", "up/sub"), ("d/a", "up/a"), ("only", "up/only"), ("d/b", "e/b"), ("e/z", "z")];
    let mut expected = before.clone();
    for (from, to) in moves {
        at.rename(from, to).gives("ok");
        let moved: Vec<_> = expected.iter().filter(|(path, _)| path.starts_with(from)).collect();
        let moved: Vec<_> = moved.into_iter().map(|(path, number)| (path.clone(), *number)).collect();
        for (path, number) in moved {
            expected.remove(&path);
            let rest = path.strip_prefix(from).expect("it begins so");
            let new = if rest.as_os_str().is_empty() { PathBuf::from(to) } else { Path::new(to).join(rest) };
            expected.insert(new, number);
        }
    }
    assert_eq!(numbers(mounted.at()), expected, "after renames");
    mounted.unmount();
    let mounted = Subject::Overfuse.mount(layers, &dir.join("third"));
    assert_eq!(numbers(mounted.at()), expected, "after renames and a remount");
    mounted.unmount();
}

#[test]
fn numbers_stay_over_copy_up_rename_and_remount() {
    need!(fuse);
    let dir = scratch();
    let layers = Layers::build(dir.path(), TREES);
    stay_after_changes_and_remounts(&layers, dir.path());
}

#[test]
fn numbers_are_unique_and_stay_across_file_systems() {
    need!(root, fuse);
    let dir = scratch();
    let other = dir.path().join("lower2");
    fs::create_dir(&other).expect("make a directory");
    rustix::mount::mount("none", &other, "tmpfs", MountFlags::empty(), None).expect("mount a tmpfs");
    let result = std::panic::catch_unwind(|| {
        crate::support::build_at(&other, "f d/b 644 b\n f d/sub/y 644 y\n l link target\n f e/z 644 z", 0);
        let layers = Layers::build(dir.path(), TREES);
        stay_after_changes_and_remounts(&layers, dir.path());
    });
    rustix::mount::unmount(&other, UnmountFlags::DETACH).expect("unmount the tmpfs");
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// A file that the kernel copied up and moved keeps its lower inode number, through the mark that the kernel left.
#[test]
fn origins_that_the_kernel_wrote_are_understood() {
    need!(root, fuse, overlay);
    let dir = scratch();
    let layers = Layers::build(dir.path(), TREES);
    let before = {
        let mounted = Subject::Overfuse.mount(&layers.read_only(), &dir.path().join("at"));
        let found = numbers(mounted.at());
        mounted.unmount();
        found
    };
    let mounted = Subject::Kernel.mount(&layers, &dir.path().join("kernel"));
    let at = At::new(mounted.at());
    change_everything(&at);
    at.rename("d/b", "up/b").gives("ok");
    at.rename("only", "up/only").gives("ok");
    mounted.unmount();
    let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("again"));
    let after = numbers(mounted.at());
    for (old, new) in
        [("d/a", "d/a"), ("hard", "hard"), ("d/sub/y", "d/sub/y"), ("d/b", "up/b"), ("only/f", "up/only/f")]
    {
        assert_eq!(after[Path::new(new)], before[Path::new(old)], "{old}, now {new}");
    }
    mounted.unmount();
}

/// The kernel's mount shows the old inode numbers for files that Overfuse copied up.
#[test]
fn the_kernel_understands_our_origins() {
    need!(root, fuse, overlay);
    assert!(is_root());
    let dir = scratch();
    let layers = Layers::build(dir.path(), "upper:\n lower:\n f d/a 644 a\n f b 644 b");
    let shown = |at: &str| {
        let mounted = Subject::Kernel.mount(&layers, &dir.path().join(at));
        let found = ["d", "d/a", "b"].map(|path| mounted.at().join(path).metadata().expect("stat").ino());
        mounted.unmount();
        found
    };
    let before = shown("before");
    let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("at"));
    let at = At::new(mounted.at());
    at.append("d/a", "+").gives("ok");
    at.chmod("b", 0o600).gives("ok");
    mounted.unmount();
    assert_eq!(shown("after"), before);
}
