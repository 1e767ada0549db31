//! Why a limit cannot be set.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::error::number;
use crate::sys::Errno;

/// A limit that no host could set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    #[error("--memory is at least 6m")]
    Memory,
    #[error("--memory-reservation is at most --memory")]
    Reservation,
    #[error("--memory-swap is memory and swap together: give --memory too")]
    SwapAlone,
    #[error("--memory-swap is memory and swap together: it is at least --memory")]
    Swap,
    #[error("--cpus is from 0.01 to {0}.00: this host has {0} CPUs")]
    Cpus(u64),
    #[error("--cpus is another form of --cpu-period and --cpu-quota: give one of them")]
    CpusTwice,
    #[error("--cpu-shares is from 2 to 262144")]
    Shares,
    #[error("--cpu-period is from 1000 to 1000000 microseconds")]
    Period,
    #[error("--cpu-quota is at least 1000 microseconds")]
    Quota,
}

/// Why a cgroup cannot do what an option asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CgroupError {
    #[error("{option} needs a cgroup with the controller {controller}, which this host does not have")]
    NoController { option: String, controller: String },
    /// The hierarchy is there, and this user may not make a cgroup in it.
    #[error("{option} needs a cgroup with the controller {controller}, and none can be made in {}: {errno}", dir.display())]
    NotMade {
        option: String,
        controller: String,
        dir: PathBuf,
        #[serde(with = "number")]
        errno: Errno,
    },
    #[error("{0} needs a cgroup that limits devices, and none can be made here")]
    NoDevices(String),
    #[error("{option}: {value:?} is refused by {}: {errno}", file.display())]
    Refused {
        option: String,
        value: String,
        file: PathBuf,
        #[serde(with = "number")]
        errno: Errno,
    },
    #[error("--cgroup-parent {0:?} is not the path of a cgroup")]
    Parent(String),
    #[error("the container runs without a cgroup that can do this")]
    None,
    #[error("some processes of the container do not stop")]
    NotFrozen,
    #[error("cannot {doing} {}: {errno}", path.display())]
    Io {
        doing: String,
        path: PathBuf,
        #[serde(with = "number")]
        errno: Errno,
    },
}

pub(super) fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Adds to an error what was done with which file.
pub(super) fn io_at(doing: &str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> CgroupError {
    move |error| CgroupError::Io { doing: doing.into(), path: path.into(), errno: errno(&error) }
}
