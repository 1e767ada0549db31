//! Eight workers at once, each with random operations from a seed, on its own and on shared directories, over a lower
//! tree. Afterwards the tree must be the same while still mounted, after a remount, and mounted by the kernel.

use std::thread;

use rustix::fs::{FileType, RenameFlags, XattrFlags};

use crate::need;
use crate::support::need::is_root;
use crate::support::{At, Layers, Outcome, Subject, scratch, snapshot};

const WORKERS: u64 = 8;
const OPERATIONS: usize = 500;

/// The results that an operation may have while others work on the same names. Not `ESTALE`, `EIO`, or `EXDEV`.
const EXPECTED: &[&str] =
    &["ENOENT", "EEXIST", "ENOTDIR", "EISDIR", "ENOTEMPTY", "EINVAL", "ENODATA", "ELOOP", "EPERM", "EACCES", "ENXIO"];

/// Random numbers from a seed.
struct Dice(fastrand::Rng);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0.usize(..sides)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// One worker.
struct Worker<'a> {
    at: &'a At,
    number: u64,
    dice: Dice,
}

impl Worker<'_> {
    /// A directory that may exist: shared or its own, some of them below others.
    fn dir(&mut self) -> String {
        let sub = self.dice.pick(&["", "", "/sub", "/sub/deep", "/moved", "/new"]);
        match self.dice.below(4) {
            0 => format!("own{}{sub}", self.number),
            1 => format!("top{sub}"),
            2 => format!("both{sub}"),
            _ => format!("low{sub}"),
        }
    }

    /// A name that may exist.
    fn path(&mut self) -> String {
        let dir = self.dir();
        let name = self.dice.pick(&["a", "b", "c", "link", "hard1", "hard2", "x", "y", "sub"]);
        format!("{dir}/{name}")
    }

    fn step(&mut self) -> Outcome {
        let (at, path) = (self.at, self.path());
        let number = self.number;
        match self.dice.below(22) {
            0 | 1 => at.create(&path, 0o600 + self.dice.below(64) as u32, &format!("made by {number}")),
            2 | 3 => at.write(&path, &format!("written by {number} ").repeat(self.dice.below(900))),
            4 | 5 => at.append(&path, &format!("+{number}")),
            6 => at.truncate(&path, self.dice.below(9000) as u64),
            7 => at.write_at(&path, self.dice.below(20000) as u64, "in the middle"),
            8 | 9 => at.rename(&path, &self.path()),
            10 => at.rename(&self.dir(), &self.dir()),
            11 => at.rename_with(&path, &self.path(), RenameFlags::EXCHANGE),
            12 => at.rename_with(&path, &self.path(), RenameFlags::NOREPLACE),
            13 => at.link(&path, &self.path()),
            14 => at.unlink(&path),
            15 => at.symlink(self.dice.pick(&["a", "../both/b", "nowhere"]), &path),
            16 => at.mkdir(&self.dir(), 0o700 + self.dice.below(64) as u32),
            17 => at.rmdir(&self.dir()),
            18 => at.chmod(&path, 0o600 + self.dice.below(64) as u32),
            19 => at.set_xattr(&path, self.dice.pick(&["user.j", "user.k"]), &format!("{number}"), XattrFlags::empty()),
            20 => at.remove_xattr(&path, "user.k"),
            _ => match self.dice.below(4) {
                0 => at.mknod(&path, FileType::Socket, 0o644, (0, 0)),
                1 => at.utimes(&path, 1_000_000 + number as i64, 7),
                2 => at.list(&self.dir()),
                _ => at.stat(&path),
            },
        }
    }
}

/// Layers with entries of every kind at the names that the workers use.
fn layers() -> String {
    let files = |dir: &str, who: &str| {
        format!(
            "f {dir}/a 644 {who}-a\nf {dir}/b 600 70000*b +user.k={who}\nl {dir}/link a\nf {dir}/hard1 644 {who}-hard\n\
            h {dir}/hard2 {dir}/hard1\nf {dir}/sub/c 640 {who}-c\nf {dir}/sub/deep/x 644 {who}-x\nh {dir}/sub/y {dir}/hard1\n"
        )
    };
    let owned: String = (0..WORKERS).map(|n| files(&format!("own{n}"), "below")).collect();
    format!(
        "upper:\n{}{}w both/sub/c\nlower:\n{}{}lower:\n{}{owned}",
        files("top", "upper"),
        "f both/a 644 upper\n",
        files("both", "middle"),
        "w low/c\nf low/sub/new 644 x\n",
        files("low", "bottom") + &files("both", "bottom"),
    )
}

fn work(seed: u64) {
    let dir = scratch();
    let layers = Layers::build(dir.path(), &layers());
    let before: Vec<_> = layers.lowers.iter().map(|lower| snapshot(lower)).collect();
    let mounted = Subject::Overfuse.mount(&layers, &dir.path().join("at"));
    let logs = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|number| {
                let root = mounted.at();
                scope.spawn(move || {
                    let at = At::new(root);
                    let mut worker =
                        Worker { at: &at, number, dice: Dice(fastrand::Rng::with_seed(seed * 1000 + number)) };
                    let mut done = 0;
                    for _ in 0..OPERATIONS {
                        let outcome = worker.step();
                        let failed = outcome.0.starts_with('E') || outcome.0.starts_with("errno");
                        assert!(
                            !failed || EXPECTED.contains(&outcome.0.as_str()),
                            "seed {seed}, worker {number}: {:?}",
                            at.log().last()
                        );
                        done += usize::from(!failed);
                    }
                    done
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker fails")).collect::<Vec<usize>>()
    });
    // If most operations found no entry, the test would prove nothing.
    assert!(logs.iter().sum::<usize>() > OPERATIONS, "{logs:?}");

    let live = snapshot(mounted.at());
    mounted.unmount();
    // In a user namespace the kernel follows no redirects.
    let subjects: &[Subject] = if is_root() { &[Subject::Overfuse, Subject::Kernel] } else { &[Subject::Overfuse] };
    for subject in subjects {
        let again = subject.mount(&layers, &dir.path().join("again"));
        live.assert_eq(&snapshot(again.at()), &format!("seed {seed}, remounted by {subject:?} (+)"));
        again.unmount();
    }
    for (lower, before) in layers.lowers.iter().zip(before) {
        before.assert_eq(&snapshot(lower), &format!("changed {}", lower.display()));
    }
}

#[test]
fn eight_workers_leave_one_tree() {
    need!(fuse, overlay);
    for seed in 1..=4 {
        work(seed);
    }
}
