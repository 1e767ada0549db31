//! The settings of a container's life: how it is stopped, when it starts again, and what is kept of its output.

use serde::{Deserialize, Serialize};

use super::log::LogSettings;
use super::restart::RestartPolicy;

/// How many seconds a container has after its stop signal, as in docker.
const STOP_TIMEOUT: i64 = 10;

/// How a container is stopped and started again, and how its log is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Life {
    pub restart: RestartPolicy,
    /// The number of the signal that asks the command to end. `None`: the image's, or SIGTERM.
    pub stop_signal: Option<i32>,
    /// How many seconds after that the container is killed; negative: never. `None`: 10.
    pub stop_timeout: Option<i64>,
    /// Whether standard input ends with the client that gives it. Not when the container began without one (`-d`).
    pub input_once: bool,
    pub log: LogSettings,
}

impl Life {
    /// How many seconds after the stop signal the container is killed; negative: never.
    pub fn stop_timeout(&self) -> i64 {
        self.stop_timeout.unwrap_or(STOP_TIMEOUT)
    }
}
