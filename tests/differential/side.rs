//! One subject during a sequence: its layers, the implementation that serves them now, and the numbers it showed.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use overfuse::sys::{Errno, Kind};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use crate::deliberate::{self, Then};
use crate::ground::{By, Ground};
use crate::model::Model;
use crate::operations::{Answer, Operation, show};
use crate::subject::{Entry, Subject, kind_name};
use crate::support::Layers;
use crate::vfs::Vfs;

pub struct Side<'g> {
    ground: &'g Ground,
    /// The implementation that it started with.
    whose: By,
    by: By,
    layers: Layers,
    at: PathBuf,
    forgetful: bool,
    start: i64,
    subject: Option<Box<dyn Subject>>,
    /// The inode numbers that Overfuse showed, by the numbers in the model.
    numbers: HashMap<u64, u64>,
    /// Whether the kernel has mounted the layers: see [`deliberate::TIMES_SLIP`].
    slips: bool,
    kernel_may: bool,
}

impl<'g> Side<'g> {
    /// Starts `by` on layers in `dir`. All sides share the lower layers; each has its own upper layer.
    pub fn new(
        by: By,
        ground: &'g Ground,
        dir: &Path,
        text: &str,
        forgetful: bool,
        start: i64,
    ) -> Result<Side<'g>, String> {
        let name = format!("{by:?}");
        let layers = Layers::build_for(dir, text, &name);
        let at = dir.join(format!("at{name}"));
        fs::create_dir(&at).expect("make a mount point");
        let mut side = Side {
            ground,
            whose: by,
            by,
            layers,
            at,
            forgetful,
            start,
            subject: None,
            numbers: HashMap::new(),
            slips: false,
            kernel_may: true,
        };
        side.begin(by)?;
        Ok(side)
    }

    fn subject(&mut self) -> &mut dyn Subject {
        &mut **self.subject.as_mut().expect("it is there between two steps")
    }

    fn name(&self) -> String {
        if self.by == self.whose { format!("{:?}", self.by) } else { format!("{:?} after {:?}", self.by, self.whose) }
    }

    fn begin(&mut self, by: By) -> Result<(), String> {
        self.by = by;
        self.slips |= deliberate::TIMES_SLIP && by == By::Kernel;
        let started = self.ground.start(by, &self.layers, &self.at, self.forgetful, self.start);
        self.subject = Some(started.map_err(|error| format!("{}: {error}", self.name()))?);
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let subject = self.subject.take().expect("it is there between two steps");
        subject.stop().map_err(|error| format!("{}: {error}", self.name()))
    }

    pub fn is_of_kernel(&self) -> bool {
        self.whose == By::Kernel
    }

    /// From here on, does not let the kernel mount Overfuse's layers: see [`deliberate::is_beyond_user_marks`].
    pub fn stay_ours(&mut self) -> Result<(), String> {
        self.kernel_may = false;
        if self.by == By::Kernel && self.whose != By::Kernel { self.remount(self.whose) } else { Ok(()) }
    }

    pub fn stop(mut self) -> Result<(), String> {
        self.end()
    }

    /// The implementation for the next mount: the same, or with `swap` the kernel for the mount and the reverse.
    pub fn other_of(&self, swap: bool) -> By {
        match self.by {
            By::Mount if swap && self.kernel_may => By::Kernel,
            By::Kernel if swap => By::Mount,
            same => same,
        }
    }

    pub fn remount(&mut self, by: By) -> Result<(), String> {
        self.end()?;
        if by == By::Kernel {
            self.numbers.clear();
        }
        self.begin(by)
    }

    /// Makes the upper layer the topmost lower one, and adds an empty upper layer with the same mode and times.
    pub fn commit(&mut self) -> Result<(), String> {
        self.end()?;
        self.numbers.clear();
        let (upper, work) = self.layers.upper.take().expect("sequences change their stacks");
        let next = |old: &Path| old.with_file_name(format!("{}+", old.file_name().expect("a name").display()));
        let (new_upper, new_work) = (next(&upper), next(&work));
        let meta = fs::metadata(&upper).expect("the upper is there");
        for dir in [&new_upper, &new_work] {
            fs::create_dir(dir).expect("make a directory");
        }
        fs::set_permissions(&new_upper, meta.permissions()).expect("set a mode");
        let time = Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, &new_upper, &times, AtFlags::empty()).expect("set times");
        self.layers.lowers.insert(0, upper);
        self.layers.upper = Some((new_upper, new_work));
        self.begin(self.by)
    }

    /// Does one operation. Returns `false` if the subject can no longer be compared.
    pub fn perform(&mut self, operation: &Operation, expected: &Answer) -> Result<bool, String> {
        let seen = self.subject().perform(operation);
        if *expected == seen {
            return Ok(true);
        }
        match deliberate::then(self.by, operation, expected, &seen) {
            Some(Then::GoesOn) => Ok(true),
            Some(Then::Leaves) => self.end().map(|()| false),
            None => Err(format!("{} answers {} to the last step", self.name(), show(&seen))),
        }
    }

    /// Compares the tree at `path`.
    pub fn compare_tree(&mut self, model: &mut Vfs<Model>, path: &str) -> Result<(), String> {
        let found = self.compare_entry(model, path)?;
        if !found.is_some_and(|found| found.attr.kind == Kind::Directory) {
            return Ok(());
        }
        for name in self.compare_names(model, path)? {
            let below = if path == "." { name } else { format!("{path}/{name}") };
            self.compare_tree(model, &below)?;
        }
        Ok(())
    }

    /// Compares the entry at `path`. Returns the model's.
    pub fn compare_entry(&mut self, model: &mut Vfs<Model>, path: &str) -> Result<Option<Entry>, String> {
        let (expected, seen) = (model.entry(path), self.subject().entry(path));
        match (&expected, &seen) {
            (Ok(entry), Ok(seen)) if entry.is_shown_by(seen, self.slips) => self.compare_number(path, entry, seen)?,
            (Err(a), Err(b)) if a == b => {}
            _ => {
                return Err(format!(
                    "{path} differs\n  model: {}\n  {}: {}",
                    text(&expected),
                    self.name(),
                    text(&seen)
                ));
            }
        }
        Ok(expected.ok())
    }

    /// Compares the listing of `path`, if the model has a directory there. Returns its names.
    pub fn compare_names(&mut self, model: &mut Vfs<Model>, path: &str) -> Result<Vec<String>, String> {
        let Ok(expected) = model.list(path) else { return Ok(Vec::new()) };
        let seen = self.subject().list(path).map_err(|errno| format!("{} lists {path}: {errno}", self.name()))?;
        let names = |listed: &[crate::subject::Listed]| {
            listed.iter().map(|entry| format!("{} {}", entry.name, entry.kind)).collect::<Vec<_>>()
        };
        if names(&expected) != names(&seen) {
            let (name, expected, seen) = (self.name(), names(&expected), names(&seen));
            return Err(format!("the listing of {path} differs\n  model: {expected:?}\n  {name}: {seen:?}"));
        }
        for (expected, seen) in expected.iter().zip(&seen) {
            if self.promises_number(expected.kind)
                && self.numbers.get(&expected.ino).is_some_and(|known| *known != seen.ino)
            {
                return Err(format!(
                    "{}: {path} lists {} with number {}, which is {:?} elsewhere",
                    self.name(),
                    seen.name,
                    seen.ino,
                    self.numbers.get(&expected.ino)
                ));
            }
        }
        Ok(expected.into_iter().map(|entry| entry.name).collect())
    }

    fn promises_number(&self, kind: &str) -> bool {
        self.by != By::Kernel && !deliberate::may_change_number(kind)
    }

    /// Checks that the number of a file has not changed.
    fn compare_number(&mut self, path: &str, entry: &Entry, seen: &Entry) -> Result<(), String> {
        if !self.promises_number(kind_name(entry.attr.kind)) {
            return Ok(());
        }
        let known = *self.numbers.entry(entry.attr.ino).or_insert(seen.attr.ino);
        if known == seen.attr.ino {
            return Ok(());
        }
        Err(format!("{}: {path} had number {known:#x} and has {:#x}", self.name(), seen.attr.ino))
    }
}

fn text(entry: &Result<Entry, Errno>) -> String {
    match entry {
        Ok(entry) => entry.to_string(),
        Err(errno) => show(&Err(*errno)),
    }
}

impl Drop for Side<'_> {
    fn drop(&mut self) {
        if let Some(subject) = self.subject.take() {
            let _ = subject.stop();
        }
    }
}
