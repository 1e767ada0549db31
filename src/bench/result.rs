//! What a run of the benchmark found: the document that `--json` writes and `--baseline` reads.
//!
//! ```text
//! Report ── machine, method
//!   ├─ subjects[]    who was measured, in which version and how mounted; or why not
//!   └─ rows[]        one workload with one set of parameters
//!        └─ results[]   one for each subject: a sample a run, in seconds; what else was counted
//! ```
//!
//! A sample is always the time, in seconds, that the whole work of the row took: smaller is better everywhere, and a
//! ratio is a ratio of times. [`Row::operations`] and [`Row::bytes`] say how much work that was; [`Row::unit`] is only
//! how a reader expects it to be shown. Fields that a reader does not know are to be ignored, and those that it misses
//! have defaults; what cannot be read so has another [`FORMAT`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of this document's format.
pub const FORMAT: u32 = 1;

/// Everything that one run of the benchmark found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`] of who wrote it.
    pub format: u32,
    /// The command line that made it, as a user would type it.
    pub command: String,
    /// When it began: RFC 3339, UTC.
    pub date: String,
    /// Of Overfuse, which measured.
    pub version: String,
    pub machine: Machine,
    pub method: Method,
    /// In the order in which they are shown.
    pub subjects: Vec<Subject>,
    pub rows: Vec<Row>,
    /// It was ended before it was complete; what it had by then is here.
    #[serde(default)]
    pub interrupted: bool,
}

/// Where it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// As of `uname -r`.
    pub kernel: String,
    /// The model's name; empty where the kernel tells none.
    pub cpu: String,
    /// That this process may use.
    pub cpus: usize,
    /// Bytes.
    pub memory: u64,
    /// The directory that held the trees.
    pub directory: String,
    /// Its file system's name, as of `/proc/mounts`.
    pub filesystem: String,
}

/// How it was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Method {
    /// How often each row was measured with each subject, after a warm-up that is thrown away.
    pub runs: usize,
    /// Caches were dropped before each measurement; else the lower layers' pages were warm.
    pub cold: bool,
    /// Who measured: `root`, `root of a user namespace`, `an ordinary user`.
    pub user: String,
    /// The subject that the others are compared with.
    pub relative_to: Option<String>,
    /// The whole method in sentences, for a reader: caches, clock, order, statistics.
    pub notes: Vec<String>,
}

/// One who was to be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Unique in the report: `native`, `overlayfs`, `overfuse`, `fuse-overlayfs-2.0`, …
    pub name: String,
    /// What it says of itself; empty for a plain directory.
    #[serde(default)]
    pub version: String,
    /// How it was mounted, in a line: program and options.
    #[serde(default)]
    pub mounted: String,
    #[serde(flatten)]
    pub state: State,
}

/// Whether a subject was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "why")]
pub enum State {
    Measured,
    /// It was not there to be measured; why.
    Skipped(String),
}

/// One workload with one set of parameters, as every subject did it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Unique together with the parameters: `stat-first`, `copy-up`, …
    pub name: String,
    /// Workloads of one kind: `copy-up`, `lookup`, `readdir`, …
    pub group: String,
    /// What it does, in a line.
    #[serde(default)]
    pub about: String,
    #[serde(default)]
    pub parameters: Parameters,
    pub unit: Unit,
    /// How many operations one sample is the time of; at least 1.
    pub operations: u64,
    /// How many bytes one sample read or wrote; 0 where that is not what it is about.
    #[serde(default)]
    pub bytes: u64,
    /// In the order of [`Report::subjects`]; without those that were skipped.
    pub results: Vec<Outcome>,
}

/// What may vary between two rows of one name. Those of a curve differ in one of these and agree in the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// Lower layers in the stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<u32>,
    /// Files, names or entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Of the file, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Clients at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
}

/// How a sample is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// The time of the whole.
    Time,
    /// The time of one operation.
    TimePerOperation,
    /// Bytes in a second, of which more are better; ratios are of times all the same.
    Throughput,
}

/// What one subject did in one row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// [`Subject::name`].
    pub subject: String,
    /// Seconds, a sample a run, in the order of the runs.
    pub seconds: Vec<f64>,
    /// Why there are no samples, or no more of them: it did not mount, died, or answered an error.
    pub failed: Option<String>,
    /// Of single operations, over all runs; where they were timed one by one.
    pub latency: Option<Latency>,
    /// Counted inside the daemon over one sample; Overfuse tells it, others do not.
    pub counts: Option<Counts>,
    /// The process that serves the mount, at the end of the last measurement that the row was part of.
    pub daemon: Option<Daemon>,
    /// What the work cost on disk.
    pub written: Option<Written>,
}

/// How long single operations took, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many operations were timed.
    pub count: u64,
    /// Pairs of a percentile (0 to 100, rising) and the seconds that so many operations did not exceed.
    pub percentiles: Vec<(f64, f64)>,
}

/// Totals over the [`Row::operations`] of one sample; kinds that did not happen are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// FUSE requests by kind: `LOOKUP`, `READDIRPLUS`, …
    pub requests: BTreeMap<String, u64>,
    /// System calls of the daemon at its layers, by name.
    pub syscalls: BTreeMap<String, u64>,
}

/// A process that serves a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Daemon {
    /// Resident bytes.
    pub memory: u64,
    /// The most that it ever had resident.
    pub memory_peak: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Seconds of CPU since it started.
    pub cpu: f64,
}

/// Disk amplification: what a change made the upper layer grow by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Written {
    /// Bytes that the work changed.
    pub changed: u64,
    /// Bytes that the upper layer takes on disk after it, and did not before.
    pub upper: u64,
}

impl Report {
    /// The subject of that name.
    pub fn subject(&self, name: &str) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.name == name)
    }

    /// Those that were there to be measured.
    pub fn measured(&self) -> impl Iterator<Item = &Subject> {
        self.subjects.iter().filter(|subject| subject.state == State::Measured)
    }
}

impl Row {
    /// What the subject of that name did.
    pub fn outcome(&self, subject: &str) -> Option<&Outcome> {
        self.results.iter().find(|outcome| outcome.subject == subject)
    }
}

impl Counts {
    /// All requests.
    pub fn request_total(&self) -> u64 {
        self.requests.values().sum()
    }

    /// All system calls.
    pub fn syscall_total(&self) -> u64 {
        self.syscalls.values().sum()
    }
}

impl Written {
    /// Bytes on disk per byte changed; nothing where nothing was.
    pub fn amplification(&self) -> Option<f64> {
        (self.changed > 0).then(|| self.upper as f64 / self.changed as f64)
    }
}
