//! One sequence of operations on one stack, by both subjects in step.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use proptest::prelude::*;

use crate::deliberate;
use crate::layers::{self, Stack};
use crate::operations::{self, Operation, Slots};
use crate::support::snapshot::{Snapshot, snapshot_since};
use crate::support::{At, Layers, Mounted, Subject, scratch, snapshot};

/// Layers, and what is done to them.
#[derive(Clone)]
pub struct Sequence {
    /// As `Layers::build` reads it.
    pub layers: String,
    pub operations: Vec<Operation>,
}

pub fn any() -> impl Strategy<Value = Sequence> {
    (layers::any(), operations::any())
        .prop_map(|(stack, operations): (Stack, _)| Sequence { layers: stack.to_string(), operations })
}

/// One of the two, with what it has open.
struct Side {
    layers: Layers,
    at: PathBuf,
    /// By whom it is mounted.
    by: Subject,
    mounted: Option<Mounted>,
    slots: Slots,
    start: SystemTime,
}

impl Side {
    fn new(subject: Subject, dir: &Path, text: &str, start: SystemTime) -> Side {
        let name = format!("{subject:?}");
        let layers = Layers::build_for(dir, text, &name);
        let at = dir.join(name).join("at");
        let mounted = Some(subject.mount(&layers, &at));
        Side { layers, at, by: subject, mounted, slots: Slots::default(), start }
    }

    fn shown(&self) -> Snapshot {
        let shown = snapshot_since(&self.at, self.start);
        if self.by == Subject::Kernel { deliberate::shown(shown) } else { shown }
    }

    fn remount(&mut self, by: Subject) {
        self.slots.close();
        self.mounted.take().expect("it is mounted between two steps").unmount();
        self.mounted = Some(by.mount(&self.layers, &self.at));
        self.by = by;
    }
}

impl Sequence {
    /// The first difference that is not deliberate, with the steps that led to it.
    pub fn run(&self) -> Result<(), String> {
        let dir = scratch();
        let start = SystemTime::now();
        let [mut kernel, mut overfuse] =
            Subject::BOTH.map(|subject| Side::new(subject, dir.path(), &self.layers, start));
        let before: Vec<Snapshot> = kernel.layers.lowers.iter().map(|lower| snapshot(lower)).collect();
        let compared = self.steps(&mut kernel, &mut overfuse);
        for (lower, before) in kernel.layers.lowers.iter().zip(before) {
            if let Some(diff) = before.diff(&snapshot(lower)) {
                return Err(format!("{} changed:\n{diff}", lower.display()));
            }
        }
        compared
    }

    fn steps(&self, kernel: &mut Side, overfuse: &mut Side) -> Result<(), String> {
        let mut steps = String::new();
        agree(kernel, overfuse, "at first")?;
        for operation in &self.operations {
            let operation = &operation.resolved(&kernel.at);
            if let Operation::Remount = operation {
                kernel.remount(Subject::Kernel);
                overfuse.remount(Subject::Overfuse);
            }
            let [by_kernel, by_overfuse] =
                [&mut *kernel, &mut *overfuse].map(|side| operation.apply(&At::new(&side.at), &mut side.slots));
            steps += &format!("  {operation}: {by_kernel}\n");
            if by_kernel != by_overfuse {
                return match deliberate::reason(operation, &by_kernel.0, &by_overfuse.0) {
                    // From here on the two are not comparable.
                    Some(_) => Ok(()),
                    None => Err(format!("Overfuse answers {by_overfuse} at the end of\n{steps}")),
                };
            }
            agree(kernel, overfuse, "then").map_err(|differ| format!("{differ}after\n{steps}"))?;
        }
        for (by, when) in [(None, "after a remount"), (Some(Subject::Kernel), "with both uppers mounted by the kernel")]
        {
            kernel.remount(Subject::Kernel);
            overfuse.remount(by.unwrap_or(Subject::Overfuse));
            agree(kernel, overfuse, when).map_err(|differ| format!("{differ}after\n{steps}"))?;
        }
        Ok(())
    }
}

fn agree(kernel: &Side, overfuse: &Side, when: &str) -> Result<(), String> {
    let diff = kernel.shown().diff(&overfuse.shown());
    diff.map_or(Ok(()), |diff| Err(format!("{when}, the trees differ (- kernel, + Overfuse):\n{diff}")))
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.layers)?;
        self.operations.iter().try_for_each(|operation| writeln!(f, "{operation:?},"))
    }
}
