//! One sequence of operations on one stack, done in step by the model and all subjects.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use overfuse::sys::Kind;
use proptest::prelude::*;

use crate::deliberate;
use crate::generate::{self, resolved};
use crate::ground::{By, Ground};
use crate::layers;
use crate::model::Model;
use crate::operations::{OPEN, Operation, SLOTS, show};
use crate::side::Side;
use crate::stack;
use crate::subject::Subject;
use crate::support::need::is_root;
use crate::support::subject::{layer_time, sections};
use crate::support::{Layers, Snapshot, build_at, snapshot};
use crate::vfs::Vfs;

/// Layers, and the operations on them.
#[derive(Clone)]
pub struct Sequence {
    /// In the text form that `Layers::build` reads.
    pub layers: String,
    pub operations: Vec<Operation>,
    /// Whether the union without a mount forgets all that it can after each operation.
    pub forgetful: bool,
    /// Whether every other lower layer is on a file system of its own.
    pub scattered: bool,
}

/// Sequences of less than `most` operations.
pub fn any(most: usize) -> impl Strategy<Value = Sequence> {
    (layers::any(), generate::any(most), prop::bool::ANY, prop::bool::weighted(0.3)).prop_map(
        |(stack, operations, forgetful, scattered)| Sequence {
            layers: stack.to_string(),
            operations,
            forgetful,
            scattered,
        },
    )
}

/// The state of a sequence that is being run.
struct Run<'g> {
    model: Vfs<Model>,
    sides: Vec<Side<'g>>,
    /// The steps so far, for the message about a difference.
    steps: String,
    /// Whether layers have hard links, which need the index in the work directory.
    has_links: bool,
    /// Files of the model with a smaller number are in lower layers.
    below: usize,
    asks_open: bool,
}

impl Sequence {
    /// Runs the sequence. The error is the first unknown difference between the model and a subject, with the steps
    /// before it.
    pub fn run(&self, ground: &Ground, subjects: &[By]) -> Result<(), String> {
        let dir = ground.fresh();
        let result = self.run_in(&dir, ground, subjects);
        match fs::remove_dir_all(&dir) {
            Err(error) if result.is_ok() => Err(format!("removing {}: {error}", dir.display())),
            _ => result,
        }
    }

    fn run_in(&self, dir: &Path, ground: &Ground, subjects: &[By]) -> Result<(), String> {
        // Less one second, since file systems take times from a coarse clock, which may lag by a tick.
        let start = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970").as_secs() as i64 - 1;
        if self.scattered {
            self.scatter(dir, &ground.elsewhere());
        }
        let mut sides = Vec::new();
        for &by in subjects {
            sides.push(Side::new(by, ground, dir, &self.layers, self.forgetful, start)?);
        }
        let lowers = Layers::build_for(dir, &self.layers, "").lowers;
        let before: Vec<Snapshot> = lowers.iter().map(|lower| snapshot(lower)).collect();
        let model = stack::model(&self.layers, is_root());
        let below = model.files.len();
        let has_links = self.layers.lines().any(|line| line.trim_start().starts_with("h "));
        let mut run = Run { model: Vfs::new(model), sides, steps: String::new(), has_links, below, asks_open: false };
        run.all(&self.operations).map_err(|differs| format!("{differs}\nafter\n{}", run.steps))?;
        for (lower, before) in lowers.iter().zip(before) {
            if let Some(diff) = before.diff(&snapshot(lower)) {
                return Err(format!("{} changed:\n{diff}\nafter\n{}", lower.display(), run.steps));
            }
        }
        Ok(())
    }
}

impl Sequence {
    /// Builds every other lower layer in `elsewhere`, with a symbolic link to it in `dir`.
    fn scatter(&self, dir: &Path, elsewhere: &Path) {
        let texts = sections(&self.layers);
        let lowers = texts.iter().enumerate().filter(|(_, (kind, _))| *kind == "lower");
        for (number, (index, (_, tree))) in (1..).zip(lowers).filter(|(number, _)| number % 2 == 0) {
            let name = format!("lower{number}");
            build_at(&elsewhere.join(&name), tree, layer_time(index));
            std::os::unix::fs::symlink(elsewhere.join(&name), dir.join(name)).expect("make a link");
        }
    }
}

impl Run<'_> {
    fn all(&mut self, operations: &[Operation]) -> Result<(), String> {
        if deliberate::is_beyond_user_marks(false, self.has_links) {
            self.without_kernel()?;
        }
        for operation in operations {
            let operation = resolved(operation, &self.model.fs.paths());
            if self.is_possible(&operation) {
                self.step(&operation)?;
            }
        }
        self.look("at the end")?;
        self.remount(false)?;
        self.look("after a last remount")?;
        self.remount(true)?;
        self.look("mounted by the other")?;
        self.sides.drain(..).try_for_each(Side::stop)
    }

    fn without_kernel(&mut self) -> Result<(), String> {
        self.sides.retain(|side| !side.is_of_kernel());
        self.sides.iter_mut().try_for_each(Side::stay_ours)
    }

    fn step(&mut self, operation: &Operation) -> Result<(), String> {
        match operation {
            Operation::Look => {
                self.steps += "  look\n";
                return self.look("then");
            }
            Operation::Remount { swap } => {
                self.steps += &format!("  {operation:?}\n");
                return self.remount(*swap);
            }
            Operation::Commit => {
                self.steps += &format!("  {operation:?}\n");
                self.model.close();
                self.below = self.model.fs.files.len();
                self.has_links = self.model.fs.files.iter().any(|file| file.links > 1);
                if deliberate::is_beyond_user_marks(false, self.has_links) {
                    self.without_kernel()?;
                }
                return self.sides.iter_mut().try_for_each(Side::commit);
            }
            _ => {}
        }
        if deliberate::is_beyond_user_marks(self.renames_below(operation), false) {
            (0..SLOTS).try_for_each(|slot| self.ask(&Operation::Close { slot }))?;
            self.sides.iter_mut().try_for_each(Side::stay_ours)?;
        }
        self.ask(operation)?;
        // Compares what the step may have changed: its paths and their parent directories.
        for path in operation.paths() {
            if path.starts_with(OPEN) {
                continue;
            }
            let parent = path.rsplit_once('/').map_or(".", |(parent, _)| parent);
            for side in &mut self.sides {
                side.compare_entry(&mut self.model, path)?;
                side.compare_entry(&mut self.model, parent)?;
                side.compare_names(&mut self.model, parent)?;
            }
        }
        // Open files are compared only after every other step, so that some steps meet them uncached.
        self.asks_open ^= true;
        for slot in 0..SLOTS {
            if self.asks_open && self.model.is_open(slot) {
                self.ask(&Operation::StatOpen { slot })?;
                self.ask(&Operation::ReadOpen { slot })?;
            }
        }
        Ok(())
    }

    /// Does one operation on the model and on all subjects.
    fn ask(&mut self, operation: &Operation) -> Result<(), String> {
        let expected = self.model.perform(operation);
        self.steps += &format!("  {operation:?}: {}\n", show(&expected));
        let mut failure = None;
        self.sides.retain_mut(|side| {
            side.perform(operation, &expected).unwrap_or_else(|differs| {
                failure.get_or_insert(differs);
                true
            })
        });
        failure.map_or(Ok(()), Err)
    }

    fn look(&mut self, when: &str) -> Result<(), String> {
        for side in &mut self.sides {
            side.compare_tree(&mut self.model, ".").map_err(|differs| format!("{when}, {differs}"))?;
        }
        Ok(())
    }

    fn remount(&mut self, swap: bool) -> Result<(), String> {
        self.model.close();
        let others: Vec<By> = self.sides.iter().map(|side| side.other_of(swap)).collect();
        self.sides.iter_mut().zip(others).try_for_each(|(side, by)| side.remount(by))
    }

    /// Whether the operation renames a directory of a lower layer.
    fn renames_below(&mut self, operation: &Operation) -> bool {
        let Operation::Rename { from, to, .. } = operation else { return false };
        let (model, below) = (&mut self.model, self.below);
        let mut is_below = |path: &str| {
            let found = model.entry(path);
            found.is_ok_and(|found| found.attr.kind == Kind::Directory && found.attr.ino < below as u64)
        };
        is_below(from) || is_below(to)
    }

    /// Whether the operation means the same for all subjects.
    fn is_possible(&mut self, operation: &Operation) -> bool {
        let starts_at = |path: &&String| path.strip_prefix(OPEN)?.split_once('/')?.0.parse().ok();
        if !operation.paths().iter().filter_map(starts_at).all(|slot| self.model.is_open(slot)) {
            return false;
        }
        match operation {
            // In a mount, a link target above the root of the tree would lead into the host's tree.
            Operation::Symlink { target, path } => path.contains('/') || !climbs(target),
            Operation::Link { from, to } => to.contains('/') || !self.is_climbing_link(from),
            Operation::Rename { from, to, .. } => {
                (to.contains('/') || !self.is_climbing_link(from)) && (from.contains('/') || !self.is_climbing_link(to))
            }
            // Kernel overlayfs clears set-id bits even if nothing is copied.
            Operation::CopyRange { to, .. } => {
                is_root() || self.model.entry(to).is_ok_and(|found| found.attr.perm & 0o6000 == 0)
            }
            // A lower layer has no index, so its hard links would be lost.
            Operation::Commit => {
                let mut files = self.model.fs.files.iter();
                !self.has_links && !files.any(|file| file.links > 1 && deliberate::may_lose_links(file.kind()))
            }
            _ => true,
        }
    }

    fn is_climbing_link(&mut self, path: &str) -> bool {
        self.model
            .entry(path)
            .is_ok_and(|found| found.attr.kind == Kind::Symlink && climbs(&String::from_utf8_lossy(&found.content)))
    }
}

fn climbs(target: &str) -> bool {
    target.starts_with("..")
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}forgetful: {}, scattered: {}", self.layers, self.forgetful, self.scattered)?;
        self.operations.iter().try_for_each(|operation| writeln!(f, "{operation:?},"))
    }
}
