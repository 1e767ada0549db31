//! `overfuse bench`: measures union filesystems side by side, on this machine.
//!
//! All files are in one temporary directory. Mounts are in a private mount namespace, where this process may have one.
//! Everything is unmounted and removed at the end, even after an error or a signal.

mod output;
mod progress;
mod size;
mod subjects;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tempfile::TempDir;

use self::output::Outputs;
use self::progress::Progress;
use self::subjects::Found;
use super::output::{Table, print};
use super::{Exit, ids};
use crate::bench::baseline::Comparison;
use crate::bench::workload::{self, Selected, When};
use crate::bench::{self, Kind, Plan, Report, Scale, Stopped, User};
use crate::image::Instant;
use crate::privilege::{self, Privilege};
use crate::sys::signal::Messages;
use crate::sys::{self, orphans};

/// The signal of Ctrl-C; shells exit with 128 plus this number.
const INTERRUPT: u8 = 2;
/// The exit code when a row became slower than the baseline.
const SLOWER: u8 = 1;
/// With `--quick`, no run begins after this time. The rest of the minute is for the current run and for cleaning up.
const QUICK: Duration = Duration::from_secs(42);

/// Measure union filesystems side by side: medians with their spread, and ratios to one of them.
///
/// Subjects: native (a plain directory), overlayfs (the kernel's, where it may be mounted), overfuse, every
/// fuse-overlayfs on PATH, unionfs-fuse, and NAME=PROGRAM for any program with the command line of fuse-overlayfs.
/// Missing subjects are reported and skipped.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0; 1 when a row became slower than --baseline beyond the noise; 125 when nothing could be measured;
130 after Ctrl-C.

Examples:
  overfuse bench --quick
  overfuse bench copy-up lookup --runs 7 --json now.json
  overfuse bench --baseline now.json copy-up lookup --runs 7
  overfuse bench --subjects overlayfs,overfuse --subjects one=overfuse,threads=1 walk
  overfuse bench --layers 128 --files 20000 --size 1G --html report.html")]
pub(super) struct BenchArgs {
    /// Groups, workloads or single rows, with the names of --list [default: all except those marked `only when named`]
    #[arg(value_name = "WORKLOAD")]
    workloads: Vec<String>,
    /// List the workloads and what they do
    #[arg(long)]
    list: bool,
    /// The subjects to measure, separated by commas; mount options follow NAME=PROGRAM; may be given several times
    #[arg(long, value_name = "SUBJECTS")]
    subjects: Vec<String>,
    /// The subject to compare the others with [default: overlayfs, else native]
    #[arg(long, value_name = "SUBJECT")]
    relative_to: Option<String>,
    /// Layers of a stack, up to 500; curves over the number of layers end there [default: 6; curves: 128]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    layers: Option<u32>,
    /// Files of a tree; curves over the number of names end there [default: 5000; curves: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    files: Option<u64>,
    /// The largest file: 64M, 1G, 4G [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    size: Option<u64>,
    /// Measurements of each row, after a warm-up [default: 5; with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: Option<u16>,
    /// Small trees and few workloads; takes at most a minute
    #[arg(long)]
    quick: bool,
    /// Drop all caches before each measurement (as root); otherwise the pages of the lower layers are cached
    #[arg(long)]
    cold: bool,
    /// Make the trees in this directory [default: $TMPDIR, else /var/tmp]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write all measurements as JSON; - writes them to standard output, instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write an HTML page with charts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write one SVG chart with the ratios of each group of workloads
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Compare with an earlier --json file, and print which rows changed beyond the noise
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
}

pub(super) fn run(args: &BenchArgs) -> Result<Exit> {
    if args.list {
        return list();
    }
    let workloads = args.selected()?;
    let baseline = args.baseline.as_deref().map(output::read).transpose()?;
    let outputs = Outputs::reserve(args.json.as_deref(), args.html.as_deref(), args.svg.as_deref())?;
    let mut found = Found::find(&args.subjects)?;
    let user = enter()?;
    // From here on, a signal ends the measurements but not this process, which must still remove everything.
    let signals = Messages::receive().context("receiving signals")?;
    orphans::adopt().context("becoming the parent of orphaned daemons")?;
    let place = place(args.dir.as_deref())?;
    let measured = measure(args, &workloads, &mut found, user, &signals, place.path());
    let path = place.path().to_path_buf();
    let removed = place.close().with_context(|| format!("removing {}", path.display()));
    // A signal that arrived since has nothing left to end. Delivered now, it would kill this process and so replace
    // the exit code.
    signals.until_exit();
    let (report, stopped) = measured?;
    removed?;
    let comparison = baseline.map(|before| Comparison::of(&before, &report));
    outputs.write(&report, comparison.as_ref())?;
    match stopped {
        Some(Stopped::Interrupted) => {
            eprintln!("overfuse: interrupted; {} is removed", path.display());
            Ok(Exit::Process(128 + INTERRUPT))
        }
        Some(Stopped::TimeUp(workload)) => {
            eprintln!("overfuse: stopped at {workload} after a minute: this directory or machine is too slow for more");
            Ok(Exit::Success)
        }
        Some(Stopped::Full(workload)) => {
            let parent = path.parent().unwrap_or(&path);
            bail!(
                "{} is full: there was no room for {workload}; choose another --dir or a smaller --size",
                parent.display()
            )
        }
        None if report.rows.iter().all(|row| row.results.iter().all(|outcome| outcome.seconds.is_empty())) => {
            bail!("nothing could be measured")
        }
        None if comparison.is_some_and(|comparison| comparison.slower() > 0) => Ok(Exit::Process(SLOWER)),
        None => Ok(Exit::Success),
    }
}

fn measure(
    args: &BenchArgs,
    workloads: &[Selected],
    found: &mut Found,
    user: User,
    signals: &Messages,
    dir: &Path,
) -> Result<(Report, Option<Stopped>)> {
    let is_kernel = |subject: &bench::Subject| subject.kind == Kind::Overlayfs;
    if found.subjects.iter().any(is_kernel)
        && let Some(why) = bench::overlayfs_refused(dir, user)?
    {
        found.subjects.retain(|subject| !is_kernel(subject));
        found.skip("overlayfs", &why);
    }
    for subject in &found.skipped {
        if let bench::result::State::Skipped(why) = &subject.state {
            eprintln!("overfuse: {} is skipped: {why}", subject.name);
        }
    }
    if found.subjects.is_empty() {
        bail!("there is no subject to measure");
    }
    if args.cold && user != User::Root {
        eprintln!("overfuse: --cold: only root can drop caches; the pages of the lower layers stay warm");
    }
    let names: Vec<&str> = found.subjects.iter().map(|subject| subject.name.as_str()).collect();
    let relative_to = match &args.relative_to {
        Some(name) if !names.contains(&name.as_str()) => {
            bail!("--relative-to {name}: not one of the measured subjects: {}", names.join(", "))
        }
        Some(name) => Some(name.clone()),
        None => ["overlayfs", "native"].into_iter().find(|name| names.contains(name)).map(Into::into),
    };
    if args.svg.is_some() && (relative_to.is_none() || names.len() < 2) {
        bail!("--svg draws ratios, and there is no subject to compare with: name two subjects");
    }
    let runs = args.runs.map_or(if args.quick { 3 } else { 5 }, usize::from);
    let plan = Plan {
        dir,
        user,
        subjects: &found.subjects,
        workloads,
        scale: args.scale(),
        runs,
        cold: args.cold && user == User::Root,
        most: args.quick.then_some(QUICK),
    };
    let begun = Instant::now();
    let mut progress = Progress::new();
    let measured = bench::run(&plan, signals, &mut progress);
    progress.clear();
    let (mut report, stopped) = measured?;
    report.date = begun.to_string();
    report.command = command_line();
    report.method.relative_to = relative_to;
    // Reports the parent: the benchmark's own directory is removed.
    report.machine.directory = dir.parent().unwrap_or(dir).display().to_string();
    report.subjects.append(&mut found.skipped);
    Ok((report, stopped))
}

impl BenchArgs {
    fn selected(&self) -> Result<Vec<Selected>> {
        if self.workloads.is_empty() {
            return Ok(workload::unnamed(if self.quick { When::Quick } else { When::Default }));
        }
        workload::named(&self.workloads).map_err(|unknown| {
            let near = workload::names().into_iter().map(|name| (strsim::jaro_winkler(unknown, name), name));
            let mut near: Vec<(f64, &str)> = near.filter(|(likeness, _)| *likeness > 0.75).collect();
            near.sort_by(|a, b| b.0.total_cmp(&a.0));
            let near: Vec<&str> = near.into_iter().take(3).map(|(_, name)| name).collect();
            match near.as_slice() {
                [] => anyhow::anyhow!("no workload {unknown:?}; overfuse bench --list shows all"),
                near => anyhow::anyhow!("no workload {unknown:?}; did you mean {}?", near.join(" or ")),
            }
        })
    }

    fn scale(&self) -> Scale {
        let (files, size) = if self.quick { (400, 16 << 20) } else { (5000, 64 << 20) };
        Scale {
            layers: self.layers.unwrap_or(6),
            layers_most: self.layers.unwrap_or(if self.quick { 32 } else { 128 }),
            files: self.files.unwrap_or(files),
            files_most: self.files.unwrap_or(files * 2),
            size: self.size.unwrap_or(size),
        }
    }
}

/// Enters the namespaces that this process may, and returns how file systems then see its user. To be called before any
/// thread is started.
fn enter() -> Result<User> {
    if sys::effective_uid() != 0 {
        return match privilege::enter_to_run(ids::programs().as_ref()) {
            Ok(Privilege::Ordinary) => Ok(User::Ordinary),
            Ok(_) => Ok(User::InNamespace),
            Err(error) => {
                let error = anyhow::Error::from(error);
                eprintln!("overfuse: {error:#}; only subjects that fusermount3 can mount are measured");
                Ok(User::Ordinary)
            }
        };
    }
    match (privilege::separate_mounts(), sys::is_root_of_host()) {
        (Ok(()), true) => Ok(User::Root),
        (Ok(()), false) => Ok(User::InNamespace),
        (Err(_), _) => Ok(User::Ordinary),
    }
}

/// Makes a temporary directory on a file system that supports an upper layer.
fn place(asked: Option<&Path>) -> Result<TempDir> {
    let make = |parent: &Path| -> Result<TempDir> {
        let parent = parent.canonicalize().with_context(|| parent.display().to_string())?;
        let make = tempfile::Builder::new().prefix("overfuse-bench-").tempdir_in(&parent);
        let dir = make.with_context(|| format!("making a directory in {}", parent.display()))?;
        bench::check_directory(dir.path())?;
        Ok(dir)
    };
    if let Some(asked) = asked {
        return make(asked);
    }
    let chosen = std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let candidates: Vec<PathBuf> = chosen.into_iter().chain(["/var/tmp".into()]).collect();
    let mut refused = None;
    for candidate in &candidates {
        match make(candidate) {
            Ok(dir) => return Ok(dir),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused
        .unwrap_or_else(|| anyhow::anyhow!("no directory to write to"))
        .context("name another directory with --dir"))
}

/// The command line of this process, quoted for a shell.
fn command_line() -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    let word = |word: std::ffi::OsString| {
        let word = word.to_string_lossy().into_owned();
        if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
    };
    let words: Vec<String> = std::env::args_os().skip(1).map(word).collect();
    format!("overfuse {}", words.join(" "))
}

fn list() -> Result<Exit> {
    let mut table = Table::new(&["GROUP", "WORKLOAD", "ROW", "WHAT IT DOES"]);
    for workload in workload::all() {
        let when = match workload.when {
            When::Quick => "",
            When::Default => " (not with --quick)",
            When::Named => " (only when named)",
        };
        let about = format!("{}{when}", workload.about);
        table.row([workload.group.into(), workload.name.into(), String::new(), about]);
        for (row, about) in workload.rows {
            table.row([String::new(), String::new(), (*row).into(), (*about).into()]);
        }
    }
    print(&table.render())?;
    Ok(Exit::Success)
}
