//! Stops and continues all processes of a container at once.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::error::io_at;
use super::hierarchy::Version;
use super::{Cgroup, CgroupError, Part, Result, number};

/// How long the processes have to stop. One that waits for a disk stops late.
const PATIENCE: Duration = Duration::from_secs(10);

/// A container whose processes stand still until this is dropped.
#[derive(Debug)]
pub struct Frozen {
    cgroup: Cgroup,
    /// Whether it was frozen before, and so stays so.
    before: bool,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if !self.before
            && let Err(error) = self.cgroup.thaw()
        {
            tracing::warn!(%error, "the container stays paused");
        }
    }
}

impl Cgroup {
    /// Stops all processes and returns once they stand still.
    ///
    /// # Errors
    /// The container has no freezer, or some process does not stop within ten seconds; then all run again.
    pub fn freeze(&self) -> Result<()> {
        let part = self.freezer().ok_or(CgroupError::None)?;
        part.set_frozen(true)?;
        let begun = Instant::now();
        while !part.is_frozen() {
            if begun.elapsed() > PATIENCE {
                part.set_frozen(false)?;
                return Err(CgroupError::NotFrozen);
            }
            thread::sleep(Duration::from_millis(1));
            if part.version == Version::V1 {
                // A process that was forked meanwhile is stopped by the next request only.
                part.set_frozen(true)?;
            }
        }
        Ok(())
    }

    /// Lets all processes go on.
    ///
    /// # Errors
    /// The container has no freezer, or this user may not write to it.
    pub fn thaw(&self) -> Result<()> {
        self.freezer().ok_or(CgroupError::None)?.set_frozen(false)
    }

    /// Stops all processes until the value is dropped. Those of a paused container stay as they are.
    ///
    /// # Errors
    /// As [`Cgroup::freeze`].
    pub fn frozen(&self) -> Result<Frozen> {
        let before = self.is_frozen();
        if !before {
            self.freeze()?;
        }
        Ok(Frozen { cgroup: self.clone(), before })
    }

    /// Whether the processes are stopped, or about to be.
    pub fn is_frozen(&self) -> bool {
        self.freezer().is_some_and(|part| match part.version {
            Version::V1 => part.read("freezer.state").trim() != "THAWED",
            Version::V2 => part.read("cgroup.freeze").trim() == "1",
        })
    }

    fn freezer(&self) -> Option<&Part> {
        self.part("freezer").or_else(|| self.unified())
    }
}

impl Part {
    fn set_frozen(&self, frozen: bool) -> Result<()> {
        let (file, value) = match (self.version, frozen) {
            (Version::V1, true) => ("freezer.state", "FROZEN"),
            (Version::V1, false) => ("freezer.state", "THAWED"),
            (Version::V2, true) => ("cgroup.freeze", "1"),
            (Version::V2, false) => ("cgroup.freeze", "0"),
        };
        let file = self.dir.join(file);
        fs::write(&file, value).map_err(io_at("write to", &file))
    }

    /// Whether every process stands still.
    fn is_frozen(&self) -> bool {
        match self.version {
            Version::V1 => self.read("freezer.state").trim() == "FROZEN",
            Version::V2 => number(&self.read("cgroup.events"), "frozen") == Some(1),
        }
    }
}
