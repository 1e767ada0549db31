//! The daemon is killed at any moment: it leaves the old state or the new, as seen by Overfuse and the kernel.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{RenameFlags, XattrFlags};
use rustix::mount::UnmountFlags;

use crate::need;
use crate::support::subject::{further_options, overfuse};
use crate::support::{Layers, Subject, scratch, show};

const SIZE: usize = 300_000;

fn layers(dir: &Path) -> Layers {
    let mut text = String::from("upper:\nlower:\n");
    for n in 0..12 {
        text += &format!(
            "f d{n}/data 644 {SIZE}*A\nh d{n}/linked d{n}/data\nf d{n}/sub/own 644 {SIZE}*A\nf d{n}/big 644 {SIZE}*A\n"
        );
    }
    Layers::build(dir, &text)
}

/// Changes of every kind, over and over, until the mount is gone.
fn work(root: &Path, dead: &AtomicBool) {
    for round in 0.. {
        for n in 0..12 {
            if dead.load(Ordering::Relaxed) {
                return;
            }
            let at = |name: &str| root.join(name);
            let from = if round % 2 == 0 { format!("d{n}") } else { format!("moved{n}") };
            let to = if round % 2 == 0 { format!("moved{n}") } else { format!("d{n}") };
            let write = |name: &str| {
                fs::File::options().write(true).open(at(name)).and_then(|file| file.write_all_at(b"B", 0)).ok();
            };
            fs::set_permissions(at(&format!("{from}/big")), fs::Permissions::from_mode(0o600)).ok();
            write(&format!("{from}/data"));
            fs::rename(at(&format!("{from}/sub")), at(&format!("{from}/other"))).ok();
            fs::rename(at(&from), at(&to)).ok();
            write(&format!("{to}/big"));
            fs::hard_link(at(&format!("{to}/linked")), at(&format!("link{n}-{round}"))).ok();
            let (sub, other) = (at(&format!("{to}/sub")), at(&format!("{to}/other")));
            fs::rename(other, &sub).ok();
            rustix::fs::setxattr(&sub, "user.k", b"v", XattrFlags::empty()).ok();
            let next = at(&format!("d{}", (n + 1) % 12));
            rustix::fs::renameat_with(rustix::fs::CWD, &sub, rustix::fs::CWD, next.join("sub"), RenameFlags::EXCHANGE)
                .ok();
        }
    }
}

/// Checks that all files are whole with at most the first byte changed, and that names of one file show the same
/// content.
fn is_sound(root: &Path, by: &str) {
    let mut seen = 0;
    let mut todo = vec![root.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("{by}: list {}: {e}", dir.display())) {
            let path = entry.expect("list").path();
            let meta = path.symlink_metadata().unwrap_or_else(|e| panic!("{by}: stat {}: {e}", path.display()));
            if meta.is_dir() {
                todo.push(path);
                continue;
            }
            let content = fs::read(&path).unwrap_or_else(|e| panic!("{by}: read {}: {e}", path.display()));
            let whole = content.len() == SIZE && b"AB".contains(&content[0]) && content[1..].iter().all(|&b| b == b'A');
            assert!(
                whole,
                "{by}: {} has {} bytes: {:?}…",
                path.display(),
                content.len(),
                &content[..content.len().min(8)]
            );
            seen += 1;
            if path.ends_with("data") {
                let other = path.with_file_name("linked").metadata().expect("the other name");
                assert_eq!(other.ino(), meta.ino(), "{by}: {} and its other name", path.display());
            }
        }
    }
    assert!(seen >= 48, "{by}: only {seen} files are left");
}

/// A daemon whose mount shows something at `at`.
fn serve(layers: &Layers, at: &Path) -> Child {
    fs::create_dir(at).expect("make the mount point");
    let daemon = overfuse()
        .args(["mount", "-f", "-o", &layers.options()])
        .args(further_options())
        .arg(at)
        .stderr(Stdio::null())
        .spawn()
        .expect("start overfuse");
    while fs::read_dir(at).map_or(0, Iterator::count) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    daemon
}

/// Removes all entries of `dir`, and notes them in `gone`.
fn remove(dir: &Path, gone: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.symlink_metadata()?.is_dir() {
            remove(&path, gone)?;
            fs::remove_dir(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
        gone.push(path);
    }
    Ok(())
}

#[test]
fn what_was_removed_before_the_daemon_was_killed_stays_removed() {
    need!(root, fuse, overlay);
    let mut text = String::from("upper:\nlower:\n f kept 644 x\n");
    for n in 0..2000 {
        text += &format!("f d/{}/{}/{n} 644 x\n", n % 10, n % 100);
    }
    for milliseconds in [5, 20, 60] {
        let dir = scratch();
        let layers = Layers::build(dir.path(), &text);
        let at = dir.path().join("at");
        let mut daemon = serve(&layers, &at);
        let mut gone = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| remove(&at, &mut gone));
            std::thread::sleep(Duration::from_millis(milliseconds));
            daemon.kill().expect("kill the daemon");
        });
        daemon.wait().expect("wait for the daemon");
        rustix::mount::unmount(&at, UnmountFlags::DETACH).expect("unmount");
        for (subject, name) in [(Subject::Kernel, "by-kernel"), (Subject::Overfuse, "again")] {
            let mounted = subject.mount(&layers, &dir.path().join(name));
            for path in &gone {
                let path = mounted.at().join(path.strip_prefix(&at).expect("below the mount"));
                assert!(path.symlink_metadata().is_err(), "{name}: {} is back", path.display());
            }
            mounted.unmount();
        }
    }
}

#[test]
fn a_killed_daemon_leaves_the_old_state_or_the_new() {
    need!(root, fuse, overlay);
    for milliseconds in [3, 11, 23, 47, 90, 150, 260] {
        let dir = scratch();
        let layers = layers(dir.path());
        let at = dir.path().join("at");
        let mut daemon = serve(&layers, &at);
        let dead = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| work(&at, &dead));
            }
            std::thread::sleep(Duration::from_millis(milliseconds));
            daemon.kill().expect("kill the daemon");
            dead.store(true, Ordering::Relaxed);
        });
        daemon.wait().expect("wait for the daemon");
        rustix::mount::unmount(&at, UnmountFlags::DETACH).expect("unmount");

        let by_kernel = Subject::Kernel.mount(&layers, &dir.path().join("by-kernel"));
        is_sound(by_kernel.at(), &format!("kernel, {milliseconds} ms"));
        let shown = show(by_kernel.at());
        by_kernel.unmount();
        let again = Subject::Overfuse.mount(&layers, &dir.path().join("again"));
        is_sound(again.at(), &format!("Overfuse, {milliseconds} ms"));
        assert_eq!(show(again.at()), shown, "the kernel is on the right, {milliseconds} ms");
        again.unmount();
    }
}
