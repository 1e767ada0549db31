//! Runs a whole benchmark: every workload on every subject, the requested number of times.
//!
//! For each set of parameters the tree is made once. Then the subjects take turns, A B C, B C A, …: each run begins
//! with another subject, so that neither a machine that slows down nor the previous subject favours one of them. The
//! first run is a warm-up and does not count. Each measurement has a mount and an upper layer of its own.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::layer::Policy;
use crate::sys::signal::Messages;
use crate::sys::{Dir, Errno, Name};

use super::clock::Part;
use super::gather::Gathered;
use super::mounted::{Mounted, Place, copy_tree};
use super::result::{FORMAT, Method, Report, State};
use super::subject::{Kind, Subject, User};
use super::tree;
use super::worker::{self, End, Failure, Work, asked_to_end};
use super::workload::{Scale, Selected, Session};
use super::{machine, number, result};

/// What to measure, and how.
#[derive(Debug)]
pub struct Plan<'a> {
    /// An empty directory for the benchmark's files.
    pub dir: &'a Path,
    /// The user that the subjects are mounted by.
    pub user: User,
    /// What is measured, one beside the other.
    pub subjects: &'a [Subject],
    /// The workloads, in order.
    pub workloads: &'a [Selected],
    /// How large the trees are.
    pub scale: Scale,
    /// How many times each workload is measured.
    pub runs: usize,
    /// Drop caches before each measurement; only root can.
    pub cold: bool,
    /// The time limit, shared out among the workloads. A workload past its share begins no run after the first one. No
    /// measurement begins later than 8 seconds after the whole limit.
    pub most: Option<Duration>,
}

/// Gets the progress of a benchmark.
pub trait Observer {
    /// The maximum number of measurements is known.
    fn planned(&mut self, measurements: usize);
    /// The tree of a workload is being made.
    fn preparing(&mut self, workload: &str);
    /// A measurement begins; run 0 is the warm-up.
    fn measuring(&mut self, workload: &str, subject: &str, run: usize);
    /// This many measurements more are done or skipped.
    fn done(&mut self, measurements: usize);
    /// A subject failed in a workload.
    fn failed(&mut self, workload: &str, subject: &str, why: &str);
}

/// Why a benchmark is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum Stopped {
    Interrupted,
    /// The time limit was reached; at which workload.
    TimeUp(String),
    /// The directory is full; at which workload.
    Full(String),
}

/// How long after the time limit a measurement may still begin.
const GRACE: Duration = Duration::from_secs(8);

/// Why a benchmark cannot begin or continue.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what variants and fields are")]
pub enum Error {
    #[error("{} cannot hold an upper layer, with its extended attributes and whiteouts", dir.display())]
    Unfit { dir: PathBuf, source: Errno },
    #[error(
        "{} has {} free, and {workload} may need {}: choose another --dir, fewer --files or a smaller --size",
        dir.display(), number::bytes(*free as f64), number::bytes(*needed as f64)
    )]
    NoRoom { dir: PathBuf, workload: String, needed: u64, free: u64 },
    #[error("{}", dir.display())]
    Directory { dir: PathBuf, source: io::Error },
    #[error("measuring: {0}")]
    Measuring(io::Error),
}

/// Checks that `dir` can hold upper layers.
///
/// # Errors
/// [`Error::Unfit`] if a whiteout or an extended attribute is refused.
pub fn check_directory(dir: &Path) -> Result<(), Error> {
    let check = || Policy::check_upper(&Dir::open_host(dir)?);
    check().map_err(|source| Error::Unfit { dir: holder(dir), source })
}

/// The parent of the benchmark's directory: the directory that the user chose.
fn holder(dir: &Path) -> PathBuf {
    dir.parent().unwrap_or(dir).into()
}

/// Why the kernel's overlayfs cannot be mounted here; `None` if it can.
///
/// # Errors
/// When the directory cannot be written.
pub fn overlayfs_refused(dir: &Path, user: User) -> Result<Option<String>, Error> {
    let at = dir.join("probe-overlayfs");
    let wrong = |source| Error::Directory { dir: holder(dir), source };
    fs::create_dir(&at).map_err(wrong)?;
    let place = Place::new(&at, user).map_err(wrong)?;
    fs::create_dir(place.tree().join("0")).map_err(wrong)?;
    let subject = Subject { name: "overlayfs".into(), version: String::new(), kind: Kind::Overlayfs };
    let refused = Mounted::mount(&subject, &place, 1, true, &|| false).err();
    remove(dir, "probe-overlayfs").map_err(wrong)?;
    Ok(refused)
}

fn remove(dir: &Path, name: &str) -> io::Result<()> {
    Ok(Dir::open_host(dir)?.remove_all(Name::new(name)?)?)
}

/// Runs the benchmark. If it is stopped early, returns the report of what was measured, and the reason.
///
/// # Errors
/// When nothing can be measured at all.
pub fn run(
    plan: &Plan<'_>,
    signals: &Messages,
    observer: &mut dyn Observer,
) -> Result<(Report, Option<Stopped>), Error> {
    let wrong = |source| Error::Directory { dir: holder(plan.dir), source };
    let sessions: Vec<(&Selected, Session)> = plan
        .workloads
        .iter()
        .flat_map(|selected| {
            selected.workload.sessions(&plan.scale).into_iter().map(move |session| (selected, session))
        })
        .collect();
    for (selected, session) in &sessions {
        check_room(plan.dir, selected.workload.name, session)?;
    }
    let place = Place::new(plan.dir, plan.user).map_err(wrong)?;
    let mut report = empty_report(plan);
    let each = plan.subjects.len() * (plan.runs + 1);
    observer.planned(sessions.len() * each);
    let begun = Instant::now();
    let mut built: Option<tree::Tree> = None;
    for (n, (selected, session)) in sessions.iter().enumerate() {
        let share = plan.most.map(|most| {
            let left = most.saturating_sub(begun.elapsed());
            left / u32::try_from(sessions.len() - n).unwrap_or(u32::MAX)
        });
        let mut gathered = Gathered::new(plan.subjects.len());
        let until = plan.most.map(|most| begun + most + GRACE);
        let mut turn =
            Turn { plan, place: &place, selected, session, signals, observer, gathered: &mut gathered, until };
        let made = built.as_ref() == Some(&session.tree);
        let prepared = if made { None } else { turn.prepare()? };
        let stopped = match prepared {
            None => turn.measure(share, each)?,
            stopped => stopped,
        };
        report.rows.extend(gathered.into_rows(selected, plan.subjects));
        built = Some(session.tree.clone());
        if sessions.get(n + 1).is_some_and(|(_, next)| next.tree != session.tree) {
            place.clear("tree").map_err(wrong)?;
            built = None;
        }
        if stopped.is_some() {
            report.interrupted = true;
            return Ok((report, stopped));
        }
    }
    Ok((report, None))
}

fn empty_report(plan: &Plan<'_>) -> Report {
    let subjects = plan.subjects.iter().map(|subject| result::Subject {
        name: subject.name.clone(),
        version: subject.version.clone(),
        mounted: subject.mounted(plan.user),
        state: State::Measured,
    });
    Report {
        format: FORMAT,
        command: String::new(),
        date: String::new(),
        version: env!("CARGO_PKG_VERSION").into(),
        machine: machine::machine(plan.dir),
        method: Method {
            runs: plan.runs,
            cold: plan.cold,
            user: plan.user.name().into(),
            relative_to: None,
            notes: notes(plan),
        },
        subjects: subjects.collect(),
        rows: Vec::new(),
        interrupted: false,
    }
}

/// The method in sentences.
fn notes(plan: &Plan<'_>) -> Vec<String> {
    let caches = match plan.cold {
        true => {
            "Caches: before each measurement everything was written to disk, and pages, entries and inodes were dropped."
        }
        false => {
            "Caches: the lower layers' pages were warm (all files were read once before); every measurement has a mount \
             and an upper layer of its own, so that 'first' means: nothing was asked of this mount before."
        }
    };
    let mut notes = vec![
        caches.to_owned(),
        "Clock: CLOCK_MONOTONIC, around the work alone: neither preparing nor mounting nor cleaning up is in a sample."
            .to_owned(),
        format!(
            "Order: subjects take turns, and each run begins with another one; one warm-up each, which does not count; \
             up to {} runs that count.",
            plan.runs
        ),
        "Figures: medians; ± is half of the 95 % interval of the median by order statistics (with fewer than six runs: \
         of all samples); ratios are of medians, their interval by a bootstrap over runs; ~ before a ratio: its \
         interval spans more than 1.5×, so do not quote it."
            .to_owned(),
        "Subjects run as processes of their own, with the options shown; the plain directory holds a copy of the merged \
         tree."
            .to_owned(),
    ];
    if let Some(most) = plan.most {
        notes.push(format!(
            "Quick: small trees, and no further runs of a workload when its part of {} s is over.",
            most.as_secs()
        ));
    }
    notes
}

fn check_room(dir: &Path, workload: &str, session: &Session) -> Result<(), Error> {
    let free = Dir::open_host(dir).and_then(|dir| dir.stat_fs());
    let free = free.map_err(|errno| Error::Directory { dir: holder(dir), source: errno.into() })?;
    let bytes = free.blocks_available.saturating_mul(free.fragment_size.into());
    // Room for the layers, the merged tree, its copy for the plain directory, and the work's changes to it.
    let needed = session.tree.bytes() * 4 + session.writes;
    let inodes = session.tree.inodes() * 4;
    // Some file systems allocate inodes on demand and report 0.
    let inodes_short = free.files > 0 && free.files_free < inodes;
    if bytes < needed || inodes_short {
        let needed = if inodes_short { inodes * 4096 } else { needed };
        return Err(Error::NoRoom { dir: holder(dir), workload: workload.into(), needed, free: bytes });
    }
    Ok(())
}

/// One session of a workload, for all subjects.
struct Turn<'a, 'o> {
    plan: &'a Plan<'a>,
    place: &'a Place,
    selected: &'a Selected,
    session: &'a Session,
    signals: &'a Messages,
    observer: &'o mut dyn Observer,
    gathered: &'o mut Gathered,
    /// When no further measurement may begin.
    until: Option<Instant>,
}

impl Turn<'_, '_> {
    /// Makes the tree, and reads it if its pages must be warm.
    fn prepare(&mut self) -> Result<Option<Stopped>, Error> {
        self.observer.preparing(self.selected.workload.name);
        let (at, tree, warm) = (self.place.tree(), self.session.tree.clone(), !self.plan.cold);
        self.apart(&move |_| {
            tree.build(&at)?;
            // Otherwise the kernel would write this back during a measurement.
            Dir::open_host(&at)?.sync_filesystem()?;
            if warm { tree::read_all(&at) } else { Ok(()) }
        })
    }

    /// Does long work that is not measured, in a child process so that a signal can end it.
    fn apart(&self, work: &Work) -> Result<Option<Stopped>, Error> {
        let end = worker::run(work, (self.plan.dir, None, None), self.signals, &mut |_| {}, &|| {});
        match end.map_err(Error::Measuring)? {
            End::Done => Ok(None),
            End::Interrupted => Ok(Some(Stopped::Interrupted)),
            End::Failed(Failure { full: true, .. }) => Ok(Some(Stopped::Full(self.selected.workload.name.into()))),
            End::Failed(Failure { why, .. }) => Err(Error::Measuring(io::Error::other(why))),
        }
    }

    fn measure(&mut self, share: Option<Duration>, each: usize) -> Result<Option<Stopped>, Error> {
        let begun = Instant::now();
        let subjects = self.plan.subjects;
        let mut done = 0;
        for run in 0..=self.plan.runs {
            // The warm-up and one run are always done.
            if run > 1 && share.is_some_and(|share| begun.elapsed() > share) {
                break;
            }
            for n in 0..subjects.len() {
                let which = (n + run) % subjects.len();
                if asked_to_end(self.signals) {
                    return Ok(Some(Stopped::Interrupted));
                }
                if self.until.is_some_and(|until| Instant::now() > until) {
                    return Ok(Some(Stopped::TimeUp(self.selected.workload.name.into())));
                }
                if self.gathered.failure(which).is_none()
                    && let Some(stopped) = self.measure_one(which, run)?
                {
                    return Ok(Some(stopped));
                }
                self.observer.done(1);
                done += 1;
            }
        }
        self.observer.done(each - done);
        Ok(None)
    }

    /// Measures one subject once.
    fn measure_one(&mut self, which: usize, run: usize) -> Result<Option<Stopped>, Error> {
        let subject = &self.plan.subjects[which];
        let workload = self.selected.workload.name;
        self.observer.measuring(workload, &subject.name, run);
        let interrupted = Cell::new(false);
        let stop = || {
            interrupted.set(interrupted.get() || asked_to_end(self.signals));
            interrupted.get()
        };
        let layers = self.session.tree.layers();
        let mounted = match Mounted::mount(subject, self.place, layers, self.session.changes, &stop) {
            _ if interrupted.get() => return Ok(Some(Stopped::Interrupted)),
            Ok(mounted) => mounted,
            Err(why) => {
                self.fail(which, &why);
                return Ok(None);
            }
        };
        if let Some(copy) = mounted.copy() {
            let merged = self.place.tree().join("merged");
            if let Some(stopped) = self.apart(&move |_| copy_tree(&merged, &copy))? {
                return Ok(Some(stopped));
            }
        }
        if self.plan.cold {
            drop_caches(self.plan.dir).map_err(Error::Measuring)?;
        }
        let upper = mounted.upper();
        let gathered = &mut *self.gathered;
        let mut parts: Vec<Part> = Vec::new();
        let end = worker::run(
            &*self.session.work,
            (mounted.root(), upper.as_deref(), mounted.took),
            self.signals,
            &mut |sample| {
                parts.push(sample.part.clone());
                if run > 0 {
                    gathered.add(which, sample);
                }
            },
            &|| mounted.kill(),
        )
        .map_err(Error::Measuring)?;
        match end {
            End::Done => {
                if run > 0
                    && let Some(daemon) = mounted.daemon()
                {
                    self.gathered.served_by(which, &parts, daemon);
                }
                Ok(None)
            }
            End::Interrupted => Ok(Some(Stopped::Interrupted)),
            End::Failed(Failure { full: true, .. }) => Ok(Some(Stopped::Full(workload.into()))),
            End::Failed(Failure { why, gone, .. }) => {
                let died = mounted.died(gone);
                self.fail(which, &died.map_or(why.clone(), |died| format!("{died} ({why})")));
                Ok(None)
            }
        }
    }

    fn fail(&mut self, which: usize, why: &str) {
        let name = &self.plan.subjects[which].name;
        self.observer.failed(self.selected.workload.name, name, why);
        self.gathered.fail(which, why);
    }
}

fn drop_caches(dir: &Path) -> io::Result<()> {
    Dir::open_host(dir)?.sync_filesystem()?;
    fs::write("/proc/sys/vm/drop_caches", "3")
}
