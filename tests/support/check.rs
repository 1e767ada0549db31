//! Runs the same operations on kernel overlayfs and on Overfuse over the same layers, and compares the results.

use std::time::SystemTime;

use super::snapshot::{Snapshot, snapshot_since};
use super::{At, Layers, Subject, scratch, snapshot};

/// Runs `operations` on `layers` (as [`Layers::build`] reads them), mounted once by the kernel and once by Overfuse.
/// Fails unless all of these hold: both give the same outcome for each operation; both show the same tree afterwards,
/// and again after a remount; the kernel shows the same tree from both uppers; the lower layers are unchanged.
///
/// The test must call `need!(fuse, overlay)` first.
#[track_caller]
pub fn check(layers: &str, operations: impl Fn(&At)) {
    let start = SystemTime::now();
    let [kernel, overfuse] = Subject::BOTH.map(|subject| run(subject, layers, &operations, start));
    assert_same_outcomes(&kernel.log, &overfuse.log);
    for (what, by_kernel, by_overfuse) in [
        ("the mounted trees", &kernel.live, &overfuse.live),
        ("the trees after a remount", &kernel.remounted, &overfuse.remounted),
        ("the uppers as the kernel shows them", &kernel.by_kernel, &overfuse.by_kernel),
    ] {
        by_kernel.assert_eq(by_overfuse, &format!("{what} differ (- kernel, + Overfuse)"));
    }
}

/// Runs `operations` on `layers` mounted by Overfuse alone, for what the kernel cannot do, or cannot do in a user
/// namespace. Fails unless the tree is the same after a remount and the lower layers are unchanged.
///
/// The test must call `need!(fuse)` first.
#[track_caller]
pub fn check_alone(layers: &str, operations: impl Fn(&At)) {
    let dir = scratch();
    let layers = Layers::build(dir.path(), layers);
    let before: Vec<Snapshot> = layers.lowers.iter().map(|lower| snapshot(lower)).collect();
    let mount = |at: &str| Subject::Overfuse.mount(&layers, &dir.path().join(at));
    let mounted = mount("at");
    operations(&At::new(mounted.at()));
    let live = snapshot(mounted.at());
    mounted.unmount();
    let mounted = mount("again");
    live.assert_eq(&snapshot(mounted.at()), "the tree differs after a remount");
    mounted.unmount();
    for (lower, before) in layers.lowers.iter().zip(before) {
        before.assert_eq(&snapshot(lower), &format!("changed {}", lower.display()));
    }
}

/// As [`check`], for layers without an upper, so that no operation changes anything.
#[track_caller]
pub fn check_read_only(layers: &str, operations: impl Fn(&At)) {
    assert!(!layers.contains("upper:"));
    check(layers, operations);
}

/// Fails if any outcomes differ, and lists them in order.
#[track_caller]
fn assert_same_outcomes(kernel: &[String], overfuse: &[String]) {
    let pairs = kernel.iter().zip(overfuse).filter(|(by_kernel, by_overfuse)| by_kernel != by_overfuse);
    let diff: String = pairs.map(|(by_kernel, by_overfuse)| format!("- {by_kernel}\n+ {by_overfuse}\n")).collect();
    assert!(diff.is_empty() && kernel.len() == overfuse.len(), "outcomes differ (- kernel, + Overfuse):\n{diff}");
}

struct Run {
    log: Vec<String>,
    live: Snapshot,
    remounted: Snapshot,
    by_kernel: Snapshot,
}

fn run(subject: Subject, text: &str, operations: &impl Fn(&At), start: SystemTime) -> Run {
    let dir = scratch();
    let layers = Layers::build(dir.path(), text);
    let before: Vec<Snapshot> = layers.lowers.iter().map(|lower| snapshot(lower)).collect();
    let mounted = subject.mount(&layers, &dir.path().join("at"));

    let at = At::new(mounted.at());
    operations(&at);
    let live = snapshot_since(mounted.at(), start);
    mounted.unmount();

    let again = |subject: Subject, at: &str| {
        let mounted = subject.mount(&layers, &dir.path().join(at));
        let shown = snapshot_since(mounted.at(), start);
        mounted.unmount();
        shown
    };
    let remounted = again(subject, "again");
    let by_kernel = again(Subject::Kernel, "by-kernel");
    for (lower, before) in layers.lowers.iter().zip(before) {
        before.assert_eq(&snapshot(lower), &format!("{subject:?} changed {}", lower.display()));
    }
    Run { log: at.log(), live, remounted, by_kernel }
}
