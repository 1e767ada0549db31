//! Control groups: what a container may use, which devices it may open, and how all its processes are stopped at once.
//!
//! A container has one cgroup, called `overfuse-ID`, in every hierarchy that it needs, below the cgroup of the process
//! that launches it. The launcher makes it before it forks; the container's first process joins it before anything else.
//! The launcher holds a lock on each directory, so that the next launcher removes those whose launcher was killed.
//!
//! Other commands find a container's cgroup by the name in `/proc/PID/cgroup`; there is no other record of it.
#![doc = include_str!("cgroup.md")]

mod devices;
mod error;
mod freezer;
mod hierarchy;
mod limits;
mod make;
mod usage;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

pub use devices::{DeviceKind, DeviceRights, DeviceRule, DeviceRuleError};
pub use error::{CgroupError, LimitError};
pub use freezer::Frozen;
pub use limits::{Limits, Most};
pub use make::OwnedCgroup;
pub(super) use make::Request;
pub use usage::{Usage, host_memory, network_bytes};

use error::{errno, io_at};
use hierarchy::{Host, Version};
use limits::Write;

use crate::sys::process::{self, ProcessId};

type Result<T> = std::result::Result<T, CgroupError>;

/// The cgroup of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    parts: Vec<Part>,
}

/// The cgroup in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    version: Version,
    controllers: Vec<String>,
    dir: PathBuf,
}

/// The name of a container's cgroup.
fn name(id: &str) -> String {
    format!("overfuse-{id}")
}

impl Cgroup {
    /// The cgroup of the container with the ID `id`, one of whose processes is `process`. `None` where it has none that
    /// this process can see.
    pub fn of(id: &str, process: ProcessId) -> Option<Cgroup> {
        let text = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).ok()?;
        let name = name(id);
        let part = |place: hierarchy::Place| {
            // A process may have made cgroups below.
            let dir = place.dir.ancestors().find(|dir| dir.file_name().is_some_and(|last| *last == *name))?.to_owned();
            Some(Part::new(&place.hierarchy, dir))
        };
        let parts: Vec<_> = Host::read().ok()?.places(&text).into_iter().filter_map(part).collect();
        (!parts.is_empty()).then_some(Cgroup { parts })
    }

    /// Moves the calling thread into the cgroup. It must be its process's only thread.
    ///
    /// # Errors
    /// As writing to the cgroup's files.
    pub fn join(&self) -> Result<()> {
        self.parts.iter().try_for_each(|part| {
            let file = part.dir.join(match part.version {
                // Written by the thread itself, this file takes no lock that all processes of the host wait for.
                Version::V1 => "tasks",
                Version::V2 => "cgroup.procs",
            });
            fs::write(&file, "0").map_err(io_at("join the cgroup", &file))
        })
    }

    /// As [`Cgroup::join`], in hierarchies of version 1 only: a process can be started in a cgroup of version 2.
    pub(super) fn join_v1(&self) -> Result<()> {
        let parts = self.parts.iter().filter(|part| part.version == Version::V1).cloned().collect();
        Cgroup { parts }.join()
    }

    /// Sets `limits`, also while processes run in the cgroup.
    ///
    /// # Errors
    /// A controller that a limit needs is not there, or the kernel refuses a value.
    pub fn set(&self, limits: &Limits) -> Result<()> {
        for need in limits.needs() {
            if self.part(need.controller).is_none() {
                return Err(CgroupError::NoController {
                    option: need.option.into(),
                    controller: need.controller.into(),
                });
            }
        }
        self.write(&limits.v1(), Version::V1)?;
        self.write(&limits.v2(), Version::V2)
    }

    fn write(&self, writes: &[Write], version: Version) -> Result<()> {
        let here = |write: &&Write| self.part(write.controller).is_some_and(|part| part.version == version);
        let mut failed: Vec<(&Write, CgroupError)> = Vec::new();
        for write in writes.iter().filter(here) {
            if let Err(error) = self.write_one(write) {
                failed.push((write, error));
            }
        }
        // The kernel compares limits of memory and of memory with swap: where both grow, the second must grow first.
        for (write, error) in failed {
            match self.write_one(write) {
                Err(_) if write.optional => tracing::debug!(%error, "a limit is left as it was"),
                Err(error) => return Err(error),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn write_one(&self, write: &Write) -> Result<()> {
        let Some(part) = self.part(write.controller) else { return Err(CgroupError::None) };
        let file = part.dir.join(write.file);
        fs::write(&file, &write.value).map_err(|error| CgroupError::Refused {
            option: write.option.into(),
            value: write.value.clone(),
            file: file.clone(),
            errno: errno(&error),
        })
    }

    /// Whether the kernel killed a process in the cgroup because its memory was used up.
    pub fn ran_out_of_memory(&self) -> bool {
        let Some(part) = self.part("memory") else { return false };
        let file = match part.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        number(&part.read(file), "oom_kill").is_some_and(|killed| killed > 0)
    }

    /// The part with a controller.
    fn part(&self, controller: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.controllers.iter().any(|own| own == controller))
    }

    /// The part of version 2.
    fn unified(&self) -> Option<&Part> {
        self.parts.iter().find(|part| part.version == Version::V2)
    }

    /// Kills what still runs in the cgroup and removes its directories.
    fn remove(&self) -> Result<()> {
        // A killed process needs a moment to leave; the kernel does not say when.
        const TRIES: u32 = 200;
        for attempt in 0..TRIES {
            let left: Vec<_> =
                self.parts.iter().filter_map(|part| remove_tree(&part.dir).err().map(|e| (part, e))).collect();
            let Some((part, error)) = left.into_iter().next() else { return Ok(()) };
            if attempt + 1 == TRIES {
                return Err(io_at("remove the cgroup", &part.dir)(error));
            }
            self.kill();
            thread::sleep(Duration::from_millis(u64::from(attempt.min(10))));
        }
        Ok(())
    }

    /// Kills every process in the cgroup.
    fn kill(&self) {
        let mut seen = HashSet::new();
        for part in &self.parts {
            for pid in processes(&part.dir).into_iter().filter(|&pid| seen.insert(pid)) {
                let is_here = || Some(fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?.contains(part.name()?));
                // The descriptor comes first: it keeps the number from being reused between the look and the signal.
                if let Some(Ok(Some(found))) = ProcessId::of(pid).map(ProcessId::open)
                    && is_here() == Some(true)
                {
                    // A process that has ended needs no signal.
                    let _ = process::kill(&found);
                }
            }
        }
        // A frozen process of version 1 dies when it thaws.
        if let Err(error) = self.thaw() {
            tracing::debug!(%error, "cannot thaw");
        }
    }
}

impl Part {
    fn new(hierarchy: &hierarchy::Hierarchy, dir: PathBuf) -> Part {
        let mut part = Part { version: hierarchy.version, controllers: hierarchy.controllers.clone(), dir };
        if part.version == Version::V2 {
            part.controllers = part.read("cgroup.controllers").split_whitespace().map(str::to_owned).collect();
        }
        part
    }

    fn name(&self) -> Option<&str> {
        self.dir.file_name()?.to_str()
    }

    /// The text of a file; empty where there is none.
    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.dir.join(file)).unwrap_or_default()
    }
}

/// The number after `key` in lines `KEY NUMBER`.
fn number(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// The processes in a cgroup and those below it.
fn processes(dir: &Path) -> Vec<u32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let own = text.lines().filter_map(|line| line.parse().ok()).filter(|&pid| pid != 0);
    own.chain(below(dir).iter().flat_map(|dir| processes(dir))).collect()
}

/// Removes a cgroup and those below it. One that is gone is no error.
fn remove_tree(dir: &Path) -> std::io::Result<()> {
    for child in below(dir) {
        remove_tree(&child)?;
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
