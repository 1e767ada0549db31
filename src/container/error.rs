//! Why a container did not start. Serializable: the container's first process sends it to the launcher.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::account::UnknownAccount;
use super::cgroup::CgroupError;
use super::isolation::FilterError;
use super::network::NetworkError;
use crate::store::StoreError;
use crate::sys::Errno;

/// Why a container did not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum LaunchError {
    #[error("cannot {doing}: {errno}")]
    Step {
        doing: String,
        #[serde(with = "number")]
        errno: Errno,
    },
    #[error(transparent)]
    Account(#[from] UnknownAccount),
    #[error(
        "user {uid}, group {gid} do not exist here: this user namespace maps {users} users and {groups} groups; \
         more come from /etc/subuid and /etc/subgid"
    )]
    Unmapped { uid: u32, gid: u32, users: u64, groups: u64 },
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(
        "the capability MKNOD needs a cgroup that limits devices, and none can be made here: the container could open any disk"
    )]
    NodesUnlimited,
    #[error("--group-add needs subordinate ids: without them, no process of this user sets its groups")]
    NoGroups,
    #[error("{0} cannot be added: overfuse itself does not have it here")]
    CapabilityMissing(String),
    #[error("the sysctl {0:?} belongs to a namespace of the host, which this container uses")]
    HostSysctl(String),
    #[error("{} is not a device", .0.display())]
    NoDevice(PathBuf),
    #[error("{0}")]
    Volume(String),
    #[error("volumes are not mounted on {}: that is the container's view of the kernel", .0.display())]
    OverProc(PathBuf),
    #[error("volumes are not mounted on {}: that is the container's root", .0.display())]
    OverRoot(PathBuf),
    /// The program does not exist in the container.
    #[error("exec: {program:?}: {}", .reason)]
    NotFound { program: OsString, reason: Absent },
    /// The program exists but does not start.
    #[error("exec: {program:?}: {errno}")]
    CannotExecute {
        program: OsString,
        #[serde(with = "number")]
        errno: Errno,
    },
    #[error(
        "the container's command did not start (status {0}): the seccomp profile forbids a system call that starting needs, \
         such as execve, sendmsg or exit_group"
    )]
    Filtered(u8),
    /// The OCI runtime refused.
    #[error("{}: {said}", program.display())]
    Runtime {
        /// The runtime.
        program: PathBuf,
        /// Its error message.
        said: String,
    },
    #[error("the container's first process sent an unreadable message: {0}")]
    Garbled(String),
}

impl LaunchError {
    /// The exit code of a container that did not start, as docker has it.
    pub fn exit_code(&self) -> u8 {
        match self {
            LaunchError::NotFound { .. } => 127,
            LaunchError::CannotExecute { .. } => 126,
            _ => 125,
        }
    }
}

/// What is missing when a program is not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Absent {
    #[error("executable file not found in $PATH")]
    InPath,
    #[error("no such file or directory")]
    File,
    #[error("the file exists, but its interpreter or loader does not")]
    Interpreter,
}

/// A volume of the store cannot be used.
impl From<StoreError> for LaunchError {
    fn from(error: StoreError) -> LaunchError {
        let reason = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        LaunchError::Volume(format!("{error}{reason}"))
    }
}

/// Adds to an error which step failed.
pub(super) trait Doing<T> {
    fn doing(self, what: impl Into<String>) -> Result<T, LaunchError>;
}

impl<T> Doing<T> for Result<T, Errno> {
    fn doing(self, what: impl Into<String>) -> Result<T, LaunchError> {
        self.map_err(|errno| LaunchError::Step { doing: what.into(), errno })
    }
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl Into<String>) -> Result<T, LaunchError> {
        self.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO)).doing(what)
    }
}

/// Sends an error number as a number.
pub(super) mod number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::sys::Errno;

    pub(in crate::container) fn serialize<S: Serializer>(errno: &Errno, to: S) -> Result<S::Ok, S::Error> {
        errno.raw_os_error().serialize(to)
    }

    pub(in crate::container) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Errno, D::Error> {
        i32::deserialize(from).map(Errno::from_raw_os_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_serialization() {
        for error in [
            LaunchError::Step { doing: "mount /proc".into(), errno: Errno::PERM },
            LaunchError::NotFound { program: "gone".into(), reason: Absent::InPath },
            LaunchError::Account(UnknownAccount::User("x".into())),
        ] {
            let sent = serde_json::to_vec(&error).unwrap();
            assert_eq!(serde_json::from_slice::<LaunchError>(&sent).unwrap(), error);
        }
    }

    #[test]
    fn an_error_is_one_line_that_says_what_and_why() {
        let error = LaunchError::Step { doing: "mount /proc".into(), errno: Errno::PERM };
        assert_eq!(error.to_string(), "cannot mount /proc: Operation not permitted (os error 1)");
    }
}
