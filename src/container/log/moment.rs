//! The points in time that `--since` and `--until` take.

use std::time::Duration;

use crate::image::Instant;

/// The text names no point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time: expected 2026-01-02T03:04:05Z, seconds since 1970, or how long ago, as in 10m or 1h30m")]
pub struct MomentError(String);

/// Reads an RFC 3339 time, seconds since 1970 with a fraction, or a duration before `now` in Go's syntax.
///
/// # Errors
/// [`MomentError`].
pub fn moment(text: &str, now: Instant) -> Result<Instant, MomentError> {
    let found = text.parse().ok().or_else(|| unix(text)).or_else(|| now.earlier(duration(text)?));
    found.ok_or_else(|| MomentError(text.into()))
}

fn unix(text: &str) -> Option<Instant> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !is_number(seconds) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
    Instant::EPOCH.later(Duration::new(seconds.parse().ok()?, nanoseconds))
}

/// A sequence of numbers with units, such as `1h30m` or `1.5s`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..end)?.parse().ok()?;
        rest = rest.get(end..)?;
        let units = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let (unit, seconds) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = rest.get(unit.len()..)?;
        sum += number * seconds;
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(sum).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_docker_reads_them() {
        let now: Instant = "2026-01-02T03:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-01-02T03:04:05Z", Some("2026-01-02T03:04:05Z")),
            ("2026-01-02T03:04:05.5+01:00", Some("2026-01-02T02:04:05.5Z")),
            ("10m", Some("2026-01-02T02:50:00Z")),
            ("1h30m", Some("2026-01-02T01:30:00Z")),
            ("1.5s", Some("2026-01-02T02:59:58.5Z")),
            ("500ms", Some("2026-01-02T02:59:59.5Z")),
            ("1136073600", Some("2006-01-01T00:00:00Z")),
            ("1136073600.000000001", Some("2006-01-01T00:00:00.000000001Z")),
            ("0", Some("1970-01-01T00:00:00Z")),
            ("", None),
            ("m", None),
            ("10", Some("1970-01-01T00:00:10Z")),
            ("10x", None),
            ("1..5s", None),
            ("99999999999999999999h", None),
            ("99999999999999999999", None),
            ("yesterday", None),
        ] {
            let expected = expected.map(|text| text.parse().unwrap()).ok_or_else(|| MomentError(text.into()));
            assert_eq!(moment(text, now), expected, "{text}");
        }
    }
}
