//! Points in time as images write them: RFC 3339.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time, from the year 0 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Instant {
    /// Seconds since 1970, leap seconds not counted.
    pub seconds: i64,
    pub nanoseconds: u32,
}

const DAY: i64 = 24 * 60 * 60;

impl Instant {
    /// What the clock says.
    pub fn now() -> Instant {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Instant { seconds: since.as_secs() as i64, nanoseconds: since.subsec_nanos() }
    }

    /// Whether this tells a time: builders that want equal images write 1970, Go's zero time is in the year 1.
    pub fn is_told(&self) -> bool {
        self.seconds > 0
    }

    /// Whole seconds from `earlier` to this; negative when it is later.
    pub fn seconds_since(self, earlier: Instant) -> i64 {
        self.seconds - earlier.seconds
    }
}

impl fmt::Display for Instant {
    /// In UTC; the fraction only where there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.seconds.div_euclid(DAY));
        let second = self.seconds.rem_euclid(DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanoseconds != 0 {
            write!(f, ".{:09}", self.nanoseconds)?;
        }
        f.write_str("Z")
    }
}

/// The text is no RFC 3339 time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time as RFC 3339 writes it")]
pub struct NoTime;

impl FromStr for Instant {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Instant, NoTime> {
        parse(text).ok_or(NoTime)
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

fn parse(text: &str) -> Option<Instant> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let punctuated = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")]
        .iter()
        .all(|&(at, mark)| text.get(at..at + 1).is_some_and(|found| found.eq_ignore_ascii_case(mark)));
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    // 60: a leap second.
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !punctuated || !in_range {
        return None;
    }
    let (nanoseconds, zone) = match text.get(19..)?.strip_prefix('.') {
        Some(rest) => {
            let len = rest.bytes().take_while(u8::is_ascii_digit).count();
            let digits: String = rest[..len].chars().chain("000000000".chars()).take(9).collect();
            (digits.parse().ok().filter(|_| len > 0)?, &rest[len..])
        }
        None => (0, text.get(19..)?),
    };
    let local = days_of(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    Some(Instant { seconds: local - offset(zone)?, nanoseconds })
}

/// Seconds by which the clocks of `zone` (`Z`, `+02:00`) are ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let two = |s: &str| (s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse::<i64>().ok())?;
    Some(sign * (two(hours)? * 3600 + two(minutes)? * 60))
}

// Both count years from March, so that the leap day is the last of its year, in eras of 400 years,
// which have 146,097 days each; day 719,468 of the first era is 1970-01-01.

fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = (from_march + 2) % 12 + 1;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_fractions_and_zones() {
        for (text, seconds, nanoseconds) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2024-02-29T12:34:56.5Z", 1_709_210_096, 500_000_000),
            ("2015-10-31T22:22:56.015925234Z", 1_446_330_176, 15_925_234),
            ("2024-01-01T02:00:00+02:00", 1_704_067_200, 0),
            ("2023-12-31t23:00:00-01:00", 1_704_067_200, 0),
            ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
        ] {
            assert_eq!(text.parse(), Ok(Instant { seconds, nanoseconds }), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in
            ["", "2024", "2024-01-01", "2024-13-01T00:00:00Z", "2024-01-01T00:00:00", "2024-01-01T00:00:00.Z", "ä"]
        {
            assert_eq!(bad.parse::<Instant>(), Err(NoTime), "{bad}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_is_written_as_it_is_read() {
        for day in -146_097..146_097 {
            let instant = Instant { seconds: day * DAY + 3723, nanoseconds: 0 };
            assert_eq!(instant.to_string().parse(), Ok(instant));
        }
    }
}
