//! Points in time in RFC 3339 form, as images write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A point in time, in nanoseconds and UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instant(Timestamp);

impl Instant {
    /// 1970-01-01, midnight.
    pub const EPOCH: Instant = Instant(Timestamp::UNIX_EPOCH);

    /// The current time.
    pub fn now() -> Instant {
        Instant(Timestamp::now())
    }

    /// A time in whole seconds since 1970; `None` if it is out of range.
    pub fn from_seconds(seconds: i64) -> Option<Instant> {
        Timestamp::from_second(seconds).ok().map(Instant)
    }

    /// Whether this is a real time. Reproducible builders write 1970, and Go's zero time is in the year 1.
    pub fn is_told(&self) -> bool {
        self.0.as_second() > 0
    }

    /// The time `by` after this; `None` beyond the year 9999.
    pub fn later(self, by: Duration) -> Option<Instant> {
        self.0.checked_add(by).ok().map(Instant)
    }

    /// The time `by` before this; `None` before the year -9999.
    pub fn earlier(self, by: Duration) -> Option<Instant> {
        self.0.checked_sub(by).ok().map(Instant)
    }

    /// Whole seconds from `earlier` to this time; negative when `earlier` is later.
    pub fn seconds_since(self, earlier: Instant) -> i64 {
        self.0.as_second() - earlier.0.as_second()
    }
}

impl fmt::Display for Instant {
    /// Writes UTC, with a fraction only if it is not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is not an RFC 3339 time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time as RFC 3339 writes it")]
pub struct NoTime;

impl FromStr for Instant {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Instant, NoTime> {
        // jiff also accepts forms outside RFC 3339: short times, named zones, years with a sign.
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        let is_marked =
            |&(at, mark): &(usize, u8)| text.as_bytes().get(at).is_some_and(|b| b.eq_ignore_ascii_case(&mark));
        let is_known = |b: u8| b.is_ascii_digit() || b"-+:.TtZz".contains(&b);
        if !marks.iter().all(is_marked) || !text.bytes().all(is_known) {
            return Err(NoTime);
        }
        text.parse().map(Instant).map_err(|_| NoTime)
    }
}

impl TryFrom<String> for Instant {
    type Error = NoTime;

    fn try_from(text: String) -> Result<Instant, NoTime> {
        text.parse()
    }
}

impl From<Instant> for String {
    fn from(instant: Instant) -> String {
        instant.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_parse_with_fractions_and_zones() {
        for (text, seconds, nanoseconds, written) in [
            ("1970-01-01T00:00:00Z", 0, 0, "1970-01-01T00:00:00Z"),
            ("2024-02-29T12:34:56.5Z", 1_709_210_096, 500_000_000, "2024-02-29T12:34:56.5Z"),
            ("2015-10-31T22:22:56.015925234Z", 1_446_330_176, 15_925_234, "2015-10-31T22:22:56.015925234Z"),
            ("2024-01-01T02:00:00+02:00", 1_704_067_200, 0, "2024-01-01T00:00:00Z"),
            ("2023-12-31t23:00:00-01:00", 1_704_067_200, 0, "2024-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00Z", -62_135_596_800, 0, "0001-01-01T00:00:00Z"),
            ("2016-12-31T23:59:60Z", 1_483_228_799, 0, "2016-12-31T23:59:59Z"),
        ] {
            let instant = Instant(Timestamp::new(seconds, nanoseconds).unwrap());
            assert_eq!(text.parse(), Ok(instant), "{text}");
            assert_eq!(instant.to_string(), written);
        }
    }

    #[test]
    fn malformed_times_are_refused() {
        for bad in [
            "",
            "2024",
            "2024-01-01",
            "2024-13-01T00:00:00Z",
            "2024-02-31T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-04-31T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00Z",
            "2024-01-01T00Z",
            "20240101T000000Z",
            "2024-01-01T00:00:00Z[UTC]",
            "+002024-01-01T00:00:00Z",
            "ä",
        ] {
            assert_eq!(bad.parse::<Instant>(), Err(NoTime), "{bad}");
        }
    }
}
