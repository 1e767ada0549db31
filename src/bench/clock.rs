//! The clock that a workload gets: it times parts of the work and makes samples, with the counts of the same time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::result::{Counts, Parameters, Unit, Written};
use super::tree::allocated;
use crate::sys::xattr::{self, Of};

/// The extended attribute of a mount's root from which Overfuse's counters are read.
const STATS: &str = "overfuse.stats";

/// What is timed: a row of the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The row's name.
    pub name: String,
    /// What it is measured with.
    pub parameters: Parameters,
    /// What one number of it means.
    pub unit: Unit,
    /// How many operations one sample has.
    pub operations: u64,
    /// How many bytes one sample moves; 0 where bytes do not matter.
    pub bytes: u64,
    /// How many bytes the work changes; 0 if the growth of the upper layer is not measured.
    pub changed: u64,
}

impl Part {
    /// A part that is shown by its total time.
    pub fn new(name: &str, parameters: Parameters) -> Part {
        Part { name: name.into(), parameters, unit: Unit::Time, operations: 1, bytes: 0, changed: 0 }
    }

    /// Sets the number of operations; the row shows the time of one.
    #[must_use]
    pub fn operations(self, operations: usize) -> Part {
        Part { operations: operations.max(1) as u64, unit: Unit::TimePerOperation, ..self }
    }

    /// Sets the number of bytes read or written; the row shows bytes per second.
    #[must_use]
    pub fn bytes(self, bytes: u64) -> Part {
        Part { bytes, unit: Unit::Throughput, ..self }
    }

    /// Sets the number of bytes changed; the growth of the upper layer is then measured too.
    #[must_use]
    pub fn changed(self, changed: u64) -> Part {
        Part { changed, ..self }
    }
}

/// One part, measured once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    pub part: Part,
    pub seconds: f64,
    /// Nanoseconds of each operation; empty unless they were timed one by one.
    pub latencies: Vec<u64>,
    pub counts: Option<Counts>,
    pub written: Option<Written>,
}

/// The clock of one measurement, in the process that does the work.
pub struct Clock<'a> {
    root: PathBuf,
    upper: Option<PathBuf>,
    mounted_in: Option<Duration>,
    /// The part that is being timed, for error messages.
    doing: String,
    tell: &'a mut dyn FnMut(Sample) -> io::Result<()>,
}

impl std::fmt::Debug for Clock<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clock").field("root", &self.root).field("doing", &self.doing).finish_non_exhaustive()
    }
}

impl<'a> Clock<'a> {
    pub(super) fn new(
        root: &Path,
        upper: Option<&Path>,
        mounted_in: Option<Duration>,
        tell: &'a mut dyn FnMut(Sample) -> io::Result<()>,
    ) -> Clock<'a> {
        let (root, upper) = (root.to_path_buf(), upper.map(Path::to_path_buf));
        Clock { root, upper, mounted_in, doing: "preparing".into(), tell }
    }

    /// The root of the merged tree.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path in the merged tree.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    pub(super) fn doing(&self) -> &str {
        &self.doing
    }

    /// Makes a sample of the time that mounting took. Does nothing if nothing was mounted.
    ///
    /// # Errors
    /// When the process that collects the samples is gone.
    pub fn mounted(&mut self, part: Part) -> io::Result<()> {
        match self.mounted_in {
            Some(took) => self.finish(part, took, Vec::new(), None, None),
            None => Ok(()),
        }
    }

    /// Times `work` as a whole.
    ///
    /// # Errors
    /// The errors of `work`.
    pub fn time<T>(&mut self, part: Part, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.timed(part, |_| work())
    }

    /// Times `work` over all `items`, and for each item alone.
    ///
    /// # Errors
    /// The first error of `work`.
    pub fn each<I>(
        &mut self,
        part: Part,
        items: impl IntoIterator<Item = I>,
        mut work: impl FnMut(I) -> io::Result<()>,
    ) -> io::Result<()> {
        self.timed(part, |latencies| {
            let mut before = Instant::now();
            for item in items {
                work(item)?;
                let now = Instant::now();
                latencies.push(u64::try_from((now - before).as_nanos()).unwrap_or(u64::MAX));
                before = now;
            }
            Ok(())
        })
    }

    fn timed<T>(&mut self, part: Part, work: impl FnOnce(&mut Vec<u64>) -> io::Result<T>) -> io::Result<T> {
        self.doing.clone_from(&part.name);
        let mut latencies = Vec::with_capacity(usize::try_from(part.operations).unwrap_or(0));
        let upper = self.upper.clone().filter(|_| part.changed > 0);
        let disk = |upper: &Option<PathBuf>| upper.as_deref().map(allocated).transpose();
        let disk_before = disk(&upper)?;
        let counted_before = self.counted();
        let started = Instant::now();
        let done = work(&mut latencies)?;
        let took = started.elapsed();
        let counts = counted_before.and_then(|before| Some(since(&before, &self.counted()?)));
        let grown = disk(&upper)?.zip(disk_before).map(|(after, before)| after.saturating_sub(before));
        let written = grown.map(|upper| Written { changed: part.changed, upper });
        self.finish(part, took, latencies, counts, written)?;
        Ok(done)
    }

    fn finish(
        &mut self,
        part: Part,
        took: Duration,
        latencies: Vec<u64>,
        counts: Option<Counts>,
        written: Option<Written>,
    ) -> io::Result<()> {
        (self.tell)(Sample { part, seconds: took.as_secs_f64(), latencies, counts, written })
    }

    /// The counters of the daemon, if it is Overfuse.
    fn counted(&self) -> Option<Counts> {
        self.upper.as_ref()?;
        let root = File::open(&self.root).ok()?;
        let text = xattr::get(Of::fd(&root), STATS.as_ref()).ok()??;
        serde_json::from_slice(&text).ok()
    }
}

fn since(before: &Counts, after: &Counts) -> Counts {
    let less = |after: &std::collections::BTreeMap<String, u64>, before: &std::collections::BTreeMap<String, u64>| {
        let grown = after.iter().map(|(kind, n)| (kind.clone(), n - before.get(kind).unwrap_or(&0).min(n)));
        grown.filter(|(_, n)| *n > 0).collect()
    };
    Counts { requests: less(&after.requests, &before.requests), syscalls: less(&after.syscalls, &before.syscalls) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_samples_with_their_latencies_and_what_they_cost_on_disk() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut samples = Vec::new();
        let mut tell = |sample| {
            samples.push(sample);
            Ok(())
        };
        let mut clock = Clock::new(dir.path(), Some(dir.path()), Some(Duration::from_millis(5)), &mut tell);
        let part = |name: &str| Part::new(name, Parameters::default());
        clock.mounted(part("mount")).expect("told");
        clock
            .each(part("write").operations(3).changed(3), 0..3, |n| std::fs::write(dir.path().join(n.to_string()), [7]))
            .expect("written");
        let failed = clock.time(part("read"), || std::fs::read(dir.path().join("none")));
        assert_eq!(failed.expect_err("nothing there").kind(), io::ErrorKind::NotFound);
        assert_eq!(clock.doing(), "read");
        let names: Vec<_> = samples.iter().map(|s| (s.part.name.as_str(), s.latencies.len())).collect();
        assert_eq!(names, [("mount", 0), ("write", 3)]);
        assert_eq!(samples[0].seconds, 0.005);
        let written = samples[1].written.expect("told");
        assert!(written.changed == 3 && written.upper >= 3, "{written:?}");
    }

    #[test]
    fn what_was_counted_before_does_not_count() {
        let counts = |pairs: &[(&str, u64)]| Counts {
            requests: pairs.iter().map(|(kind, n)| ((*kind).to_owned(), *n)).collect(),
            ..Counts::default()
        };
        let (before, after) =
            (counts(&[("LOOKUP", 3), ("OPEN", 1)]), counts(&[("LOOKUP", 5), ("OPEN", 1), ("READ", 2)]));
        assert_eq!(since(&before, &after), counts(&[("LOOKUP", 2), ("READ", 2)]));
    }
}
