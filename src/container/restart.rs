//! Restart policies: whether a container starts again after its end, and when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When the monitor starts a container again. Nothing starts one after a reboot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RestartPolicy {
    #[default]
    No,
    /// After an exit code other than 0, at most so many times.
    OnFailure(Option<u32>),
    Always,
    /// As `Always`: they differ only where a daemon starts containers after a reboot.
    UnlessStopped,
}

/// The text is not a restart policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a restart policy: expected no, on-failure, on-failure:N, always or unless-stopped")]
pub struct NoPolicy(String);

impl FromStr for RestartPolicy {
    type Err = NoPolicy;

    fn from_str(text: &str) -> Result<RestartPolicy, NoPolicy> {
        let unknown = || NoPolicy(text.into());
        match text.split_once(':') {
            None => match text {
                "no" => Ok(RestartPolicy::No),
                "on-failure" => Ok(RestartPolicy::OnFailure(None)),
                "always" => Ok(RestartPolicy::Always),
                "unless-stopped" => Ok(RestartPolicy::UnlessStopped),
                _ => Err(unknown()),
            },
            Some(("on-failure", most)) => match most.parse().map_err(|_| unknown())? {
                0 => Ok(RestartPolicy::OnFailure(None)),
                most => Ok(RestartPolicy::OnFailure(Some(most))),
            },
            Some(_) => Err(unknown()),
        }
    }
}

impl TryFrom<String> for RestartPolicy {
    type Error = NoPolicy;

    fn try_from(text: String) -> Result<RestartPolicy, NoPolicy> {
        text.parse()
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestartPolicy::No => f.write_str("no"),
            RestartPolicy::OnFailure(None) => f.write_str("on-failure"),
            RestartPolicy::OnFailure(Some(most)) => write!(f, "on-failure:{most}"),
            RestartPolicy::Always => f.write_str("always"),
            RestartPolicy::UnlessStopped => f.write_str("unless-stopped"),
        }
    }
}

impl From<RestartPolicy> for String {
    fn from(policy: RestartPolicy) -> String {
        policy.to_string()
    }
}

impl RestartPolicy {
    /// Whether a container that ended with `exit_code` starts again after `restarts` restarts. One that the user
    /// stopped or killed never does.
    pub(super) fn starts_again(self, exit_code: u8, restarts: u32) -> bool {
        match self {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure(most) => exit_code != 0 && most.is_none_or(|most| restarts < most),
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        }
    }
}

/// How long to wait before the next start, after the last wait was `before` and the container then ran for `ran`.
/// Docker's rule: 100 ms, twice as long each time, at most a minute; from the start again after a run of 10 seconds.
pub(super) fn pause(before: Option<Duration>, ran: Duration) -> Duration {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(60);
    const GOOD_RUN: Duration = Duration::from_secs(10);
    match before {
        Some(before) if ran < GOOD_RUN => (before * 2).min(LONGEST),
        _ => FIRST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_and_shown_as_docker_does() {
        for (text, policy) in [
            ("no", Some(RestartPolicy::No)),
            ("on-failure", Some(RestartPolicy::OnFailure(None))),
            ("on-failure:0", Some(RestartPolicy::OnFailure(None))),
            ("on-failure:3", Some(RestartPolicy::OnFailure(Some(3)))),
            ("always", Some(RestartPolicy::Always)),
            ("unless-stopped", Some(RestartPolicy::UnlessStopped)),
            ("always:3", None),
            ("on-failure:-1", None),
            ("on-failure:", None),
            ("", None),
            ("yes", None),
        ] {
            assert_eq!(text.parse().ok(), policy, "{text}");
            let shown = policy.map(|policy: RestartPolicy| policy.to_string());
            assert!(shown.is_none_or(|shown| shown == text || text == "on-failure:0"), "{text}");
        }
    }

    #[test]
    fn a_policy_decides_by_exit_code_and_count() {
        use RestartPolicy::{Always, No, OnFailure};
        for (policy, exit_code, restarts, again) in [
            (No, 1, 0, false),
            (OnFailure(None), 0, 0, false),
            (OnFailure(None), 1, 1000, true),
            (OnFailure(Some(2)), 1, 1, true),
            (OnFailure(Some(2)), 1, 2, false),
            (Always, 0, 1000, true),
        ] {
            assert_eq!(policy.starts_again(exit_code, restarts), again, "{policy} {exit_code} {restarts}");
        }
    }

    #[test]
    fn pauses_grow_to_a_minute_and_begin_again_after_a_good_run() {
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(10));
        let pauses = std::iter::successors(Some(pause(None, short)), |&before| Some(pause(Some(before), short)));
        let millis: Vec<_> = pauses.take(12).map(|pause| pause.as_millis()).collect();
        assert_eq!(millis, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert_eq!(pause(Some(Duration::from_secs(60)), long), Duration::from_millis(100));
    }
}
