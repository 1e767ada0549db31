//! Masks: the parts of `/proc` and `/sys` that a container cannot read, or cannot change.
//!
//! Every path is resolved below the root of a procfs or sysfs mount that this launcher made. So the mask always covers
//! the kernel's file, even when the image has a file or link of the same name.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::error::{Doing, LaunchError};
use crate::sys::{Detached, Errno, Kind, Reach, Refuse, Root};

type Result<T> = std::result::Result<T, LaunchError>;

pub(in crate::container) const HARMLESS: Refuse = Refuse::SET_ID.and(Refuse::DEVICES).and(Refuse::EXECUTION);

/// Files that reveal facts of the host or allow changing it. The lists are docker's.
pub(in crate::container) const MASKED_IN_PROC: [&str; 10] = [
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];

pub(in crate::container) const MASKED_IN_SYS: [&str; 2] = ["devices/virtual/powercap", "firmware"];

pub(in crate::container) const READ_ONLY_IN_PROC: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// What the user changes of the lists above.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MaskChanges {
    /// Nothing is masked by default, and `/sys` is writable.
    none: bool,
    /// More paths that cannot be read.
    mask: Vec<PathBuf>,
    /// Paths that are neither masked nor read-only.
    unmask: Vec<PathBuf>,
}

impl MaskChanges {
    pub(super) fn add(&mut self, paths: Vec<PathBuf>) {
        self.mask.extend(paths);
    }

    /// Removes masks; `None` for all.
    pub(super) fn remove(&mut self, paths: Option<Vec<PathBuf>>) {
        match paths {
            Some(paths) => self.unmask.extend(paths),
            None => self.none = true,
        }
    }

    /// The options of `--security-opt` that make these changes.
    pub(super) fn options(&self) -> Vec<String> {
        let list = |name: &str, paths: &[PathBuf]| {
            let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            (!paths.is_empty()).then(|| format!("{name}={}", paths.join(":")))
        };
        let all = self.none.then(|| "systempaths=unconfined".to_owned());
        [all, list("mask", &self.mask), list("unmask", &self.unmask)].into_iter().flatten().collect()
    }

    /// Whether the default masks are applied at all.
    pub(in crate::container) fn keep_defaults(&self) -> bool {
        !self.none
    }

    fn keeps(&self, top: &str, path: &str) -> bool {
        !self.none && !self.unmask.contains(&Path::new(top).join(path))
    }
}

/// Masks paths below `proc`, the root of a procfs, and `sys`, the root of a sysfs.
pub(in crate::container) fn apply(proc: &Root, sys: &Root, changes: &MaskChanges) -> Result<()> {
    for path in MASKED_IN_PROC.into_iter().filter(|path| changes.keeps("/proc", path)) {
        mask(proc, "/proc", path)?;
    }
    for path in MASKED_IN_SYS.into_iter().filter(|path| changes.keeps("/sys", path)) {
        mask(sys, "/sys", path)?;
    }
    for path in READ_ONLY_IN_PROC.into_iter().filter(|path| changes.keeps("/proc", path)) {
        make_read_only(proc, "/proc", path)?;
    }
    Ok(())
}

/// Masks the paths that the user names, after everything is mounted.
pub(in crate::container) fn apply_more(root: &Root, changes: &MaskChanges) -> Result<()> {
    changes.mask.iter().try_for_each(|path| {
        let path = path.to_string_lossy();
        mask(root, "", path.trim_start_matches('/'))
    })
}

/// Mounts an empty directory over a directory, or `/dev/null` over a file. A missing path needs no mask.
pub(in crate::container) fn mask(below: &Root, name: &str, path: &str) -> Result<()> {
    let doing = || format!("mask {name}/{path}");
    let at = match below.open_path(path) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.doing(doing())?,
    };
    let cover = if at.stat().doing(doing())?.kind == Kind::Directory {
        Detached::new(c"tmpfs", &[("mode", "555")], HARMLESS.and(Refuse::WRITING))
    } else {
        // This is the host's /dev/null: the process has not yet switched to the container's root.
        Detached::bind_host(Path::new("/dev/null"))
    };
    cover.doing(doing())?.attach(at).doing(doing())
}

fn make_read_only(below: &Root, name: &str, path: &str) -> Result<()> {
    let doing = || format!("make {name}/{path} read-only");
    let at = match below.open_path(path) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.doing(doing())?,
    };
    let once_more = Detached::bind(&at).doing(doing())?;
    once_more.set(Refuse::WRITING, Reach::Tree).doing(doing())?;
    once_more.attach(at).doing(doing())
}
