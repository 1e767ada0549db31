//! How a container is now: what its last run recorded, checked against the processes that exist.
//!
//! The process that serves a container holds the container's lock and writes `state.json`. When it is killed, nobody
//! writes the end, so the lock decides: a record that says "running" without the lock means that the container was
//! killed together with its server.

use serde::{Deserialize, Serialize};

use super::cgroup::{Cgroup, CgroupError};
use crate::image::Instant;
use crate::store::{Container, StoreError};
use crate::sys::process::ProcessId;

/// The name of the document.
const STATE: &str = "state.json";

/// The exit code of a container whose server was killed: 128 + SIGKILL.
const KILLED: u8 = 137;

/// How a container is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It never ran.
    #[default]
    Created,
    /// Its first process runs.
    Running,
    /// It runs, and all its processes are frozen.
    Paused,
    /// It has ended, and starts again soon.
    Restarting,
    /// It ran, and has ended.
    Exited,
    /// Its files are mounted, and no process runs in it.
    Mounted,
}

/// How a container is, and how its last run went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// [`State::of`] corrects it; the record may be outdated.
    pub status: Status,
    /// The container's first process, as the host numbers it, while the container runs.
    pub process: Option<ProcessId>,
    pub started: Option<Instant>,
    pub finished: Option<Instant>,
    /// Of the last run, once it has ended.
    pub exit_code: Option<u8>,
    /// Whether the kernel killed a process of the last run because the container's memory was used up.
    pub oom_killed: bool,
    /// Why the last run could not start.
    pub error: Option<String>,
    /// How often the restart policy has started it again since the user started it.
    pub restarts: u32,
}

impl State {
    /// The state of `container` now.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn of(container: &Container) -> Result<State, StoreError> {
        // The order matters: a run that ends in between has written its end before it unlocks.
        let in_use = container.is_in_use();
        let recorded: State = container.read_document(STATE)?.unwrap_or_default();
        Ok(recorded.corrected(in_use).paused(&container.id))
    }

    /// The state of a container whose monitor is known to be gone. The kernel may take away the killed monitor's lock a
    /// moment later than its connections, so the lock tells nothing here.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn without_monitor(container: &Container) -> Result<State, StoreError> {
        let recorded: State = container.read_document(STATE)?.unwrap_or_default();
        Ok(recorded.corrected(false))
    }

    /// The cgroup of a container that runs.
    ///
    /// # Errors
    /// [`CgroupError::None`] where it has none that this process can see.
    pub fn cgroup(&self, container: &Container) -> Result<Cgroup, CgroupError> {
        self.process.and_then(|process| Cgroup::of(&container.id, process)).ok_or(CgroupError::None)
    }

    /// Whoever freezes the processes records nothing: the kernel tells.
    fn paused(self, id: &str) -> State {
        let is_frozen = |process| Cgroup::of(id, process).is_some_and(|cgroup| cgroup.is_frozen());
        match (self.status, self.process) {
            (Status::Running, Some(process)) if is_frozen(process) => State { status: Status::Paused, ..self },
            _ => self,
        }
    }

    /// What the last run recorded. Only the holder of the container's lock may rely on it.
    pub(super) fn recorded(container: &Container) -> State {
        container.read_document(STATE).ok().flatten().unwrap_or_default()
    }

    /// Replaces the record. Only the holder of the container's lock may call this.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn record(&self, container: &Container) -> Result<(), StoreError> {
        container.write_document(STATE, self)
    }

    fn corrected(self, in_use: bool) -> State {
        match (self.status, in_use) {
            (Status::Running | Status::Paused | Status::Restarting, false) => {
                State { status: Status::Exited, process: None, exit_code: Some(KILLED), ..self }
            }
            (Status::Created | Status::Exited, true) => State { status: Status::Mounted, ..self },
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_corrected_by_the_lock() {
        for (recorded, in_use, status, exit_code) in [
            (Status::Created, false, Status::Created, None),
            (Status::Created, true, Status::Mounted, None),
            (Status::Running, true, Status::Running, None),
            (Status::Running, false, Status::Exited, Some(137)),
            (Status::Paused, true, Status::Paused, None),
            (Status::Paused, false, Status::Exited, Some(137)),
            (Status::Restarting, true, Status::Restarting, None),
            (Status::Restarting, false, Status::Exited, Some(137)),
            (Status::Exited, false, Status::Exited, None),
            (Status::Exited, true, Status::Mounted, None),
        ] {
            let state = State { status: recorded, ..State::default() }.corrected(in_use);
            assert_eq!((state.status, state.exit_code), (status, exit_code), "{recorded:?} {in_use}");
        }
    }
}
