//! The report of a benchmark: the document that `--json` writes and `--baseline` reads.
//!
//! ```text
//! Report ── machine, method
//!   ├─ subjects[]    name, version and mount options of each subject, or why it was skipped
//!   └─ rows[]        one workload with one set of parameters
//!        └─ results[]   one for each subject: a sample for each run, in seconds; counters
//! ```
//!
//! A sample is always the time, in seconds, that the whole work of the row took: smaller is always better, and a
//! ratio is a ratio of times. [`Row::operations`] and [`Row::bytes`] tell how much work that was; [`Row::unit`] only
//! tells how to show it. A reader must ignore fields that it does not know; missing fields have defaults. A change
//! that breaks this rule gets a new [`FORMAT`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of this document's format.
pub const FORMAT: u32 = 1;

/// Everything that one run of the benchmark found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The [`FORMAT`] of the version that wrote it.
    pub format: u32,
    /// The command line that made it, as a user would type it.
    pub command: String,
    /// When it began: RFC 3339, UTC.
    pub date: String,
    /// The version of Overfuse that measured.
    pub version: String,
    /// The host that measured.
    pub machine: Machine,
    /// How it was measured.
    pub method: Method,
    /// In the order in which they are shown.
    pub subjects: Vec<Subject>,
    /// What was measured, in the order of measuring.
    pub rows: Vec<Row>,
    /// The benchmark was stopped early; the report holds the results until then.
    #[serde(default)]
    pub interrupted: bool,
}

/// The machine on which it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The kernel's release, as in `uname -r`.
    pub kernel: String,
    /// The CPU's model name; empty if the kernel does not tell it.
    pub cpu: String,
    /// The number of CPUs that this process may use.
    pub cpus: usize,
    /// Total memory in bytes.
    pub memory: u64,
    /// The directory that held the trees.
    pub directory: String,
    /// The type of its file system, as in `/proc/mounts`.
    pub filesystem: String,
}

/// How it was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Method {
    /// How often each row was measured with each subject, after a warm-up that does not count.
    pub runs: usize,
    /// Caches were dropped before each measurement; otherwise the lower layers' pages were warm.
    pub cold: bool,
    /// The user that measured: `root`, `root of a user namespace` or `an ordinary user`.
    pub user: String,
    /// The subject that the others are compared with.
    pub relative_to: Option<String>,
    /// The method in sentences, for readers: caches, clock, order, statistics.
    pub notes: Vec<String>,
}

/// One file system that was selected for measuring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Unique in the report: `native`, `overlayfs`, `overfuse`, `fuse-overlayfs-2.0`, …
    pub name: String,
    /// The version that it reports; empty for a plain directory.
    #[serde(default)]
    pub version: String,
    /// How it was mounted, in one line: program and options.
    #[serde(default)]
    pub mounted: String,
    /// Whether there are samples.
    #[serde(flatten)]
    pub state: State,
}

/// Whether a subject was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "why")]
pub enum State {
    /// There are samples.
    Measured,
    /// It could not be measured; the reason.
    Skipped(String),
}

/// The results of all subjects for one workload with one set of parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Unique together with the parameters: `stat-first`, `copy-up`, …
    pub name: String,
    /// Workloads of one kind: `copy-up`, `lookup`, `readdir`, …
    pub group: String,
    /// What it does, in one line.
    #[serde(default)]
    pub about: String,
    /// What the row was measured with.
    #[serde(default)]
    pub parameters: Parameters,
    /// What one sample counts.
    pub unit: Unit,
    /// How many operations one sample covers; at least 1.
    pub operations: u64,
    /// How many bytes one sample read or wrote; 0 if the row does not measure throughput.
    #[serde(default)]
    pub bytes: u64,
    /// In the order of [`Report::subjects`], without skipped ones.
    pub results: Vec<Outcome>,
}

/// The parameters in which two rows of one name can differ. The rows of a curve differ in exactly one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// Lower layers in the stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<u32>,
    /// Files, names or entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// The size of the file, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Clients that work at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
}

/// How a sample is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// The total time.
    Time,
    /// The time of one operation.
    TimePerOperation,
    /// Bytes per second: more is better here, but ratios are still ratios of times.
    Throughput,
}

/// The results of one subject in one row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// [`Subject::name`].
    pub subject: String,
    /// One sample for each run, in seconds, in the order of the runs.
    pub seconds: Vec<f64>,
    /// Why samples are missing: the subject did not mount, died, or returned an error.
    pub failed: Option<String>,
    /// The latencies of single operations over all runs, if they were timed one by one.
    pub latency: Option<Latency>,
    /// What the daemon counted during one sample; only Overfuse has counters.
    pub counts: Option<Counts>,
    /// The process that serves the mount, at the end of the row's last measurement.
    pub daemon: Option<Daemon>,
    /// How much disk space the work took.
    pub written: Option<Written>,
}

/// How long single operations took, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many operations were timed.
    pub count: u64,
    /// Pairs of a percentile (0 to 100, rising) and its value in seconds.
    pub percentiles: Vec<(f64, f64)>,
}

/// Totals over the [`Row::operations`] of one sample; kinds with a count of 0 are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// FUSE requests by kind: `LOOKUP`, `READDIRPLUS`, …
    pub requests: BTreeMap<String, u64>,
    /// System calls of the daemon on its layers, by name.
    pub syscalls: BTreeMap<String, u64>,
}

/// A process that serves a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Daemon {
    /// Resident memory in bytes.
    pub memory: u64,
    /// The peak of resident memory, in bytes.
    pub memory_peak: u64,
    /// The number of open file descriptors.
    pub descriptors: u64,
    /// Seconds of CPU since it started.
    pub cpu: f64,
}

/// Disk amplification: by how much a change made the upper layer grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Written {
    /// Bytes that the work changed.
    pub changed: u64,
    /// By how many bytes the upper layer grew on disk.
    pub upper: u64,
}

impl Report {
    /// The subject with this name.
    pub fn subject(&self, name: &str) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.name == name)
    }

    /// The subjects that were not skipped.
    pub fn measured(&self) -> impl Iterator<Item = &Subject> {
        self.subjects.iter().filter(|subject| subject.state == State::Measured)
    }
}

impl Row {
    /// The results of the subject with this name.
    pub fn outcome(&self, subject: &str) -> Option<&Outcome> {
        self.results.iter().find(|outcome| outcome.subject == subject)
    }
}

impl Counts {
    /// The number of all requests.
    pub fn request_total(&self) -> u64 {
        self.requests.values().sum()
    }

    /// The number of all system calls.
    pub fn syscall_total(&self) -> u64 {
        self.syscalls.values().sum()
    }
}

impl Written {
    /// Bytes on disk per byte changed; `None` if no byte was changed.
    pub fn amplification(&self) -> Option<f64> {
        (self.changed > 0).then(|| self.upper as f64 / self.changed as f64)
    }
}
