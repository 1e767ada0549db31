//! Masks: the parts of `/proc` and `/sys` that a container cannot read, or cannot change.
//!
//! Every path is resolved below the root of a procfs or sysfs mount that this launcher made. So the mask always covers
//! the kernel's file, even when the image has a file or link of the same name.

use std::path::Path;

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

/// Masks paths below `proc`, the root of a procfs, and `sys`, the root of a sysfs.
pub(in crate::container) fn apply(proc: &Root, sys: &Root) -> Result<()> {
    for path in MASKED_IN_PROC {
        mask(proc, "/proc", path)?;
    }
    for path in MASKED_IN_SYS {
        mask(sys, "/sys", path)?;
    }
    for path in READ_ONLY_IN_PROC {
        make_read_only(proc, "/proc", path)?;
    }
    Ok(())
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
