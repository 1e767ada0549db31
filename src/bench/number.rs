//! Formats figures for readers: three digits and a unit.

use super::result::{Parameters, Row, Unit, Written};

/// A number of at least 0 with three digits, a leading zero included; below 0.1 with two significant digits.
fn digits(value: f64) -> String {
    let decimals = match value {
        v if v < 0.0995 => 1 + zeros(v),
        v if v < 9.995 => 2,
        v => usize::from(v < 99.95),
    };
    format!("{value:.decimals$}")
}

/// The position of the first significant digit after the point: 3 for 0.002, 0 for 1 and more; 1 for a number near 0.
fn zeros(value: f64) -> usize {
    if value < 1e-9 { 1 } else { (-value.log10().floor()).max(0.0) as usize }
}

/// Scales seconds to s, ms, µs or ns; returns the number and the unit.
fn scaled(seconds: f64) -> (f64, &'static str) {
    match seconds {
        s if s < 0.999_5e-6 => (s * 1e9, "ns"),
        s if s < 0.999_5e-3 => (s * 1e6, "µs"),
        s if s < 0.999_5 => (s * 1e3, "ms"),
        s => (s, "s"),
    }
}

/// `12.3 µs`
pub fn time(seconds: f64) -> String {
    let (value, unit) = scaled(seconds);
    format!("{} {unit}", digits(value))
}

/// `20 µs`: for the marks of an axis, which are round values.
pub fn round_time(seconds: f64) -> String {
    let (value, unit) = scaled(seconds);
    format!("{} {unit}", plain(value))
}

/// `1.50 MiB`; whole numbers of a unit without decimals.
pub fn bytes(bytes: f64) -> String {
    let mut value = bytes;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 1024.0 {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / 1024.0, next);
    }
    if value.fract() == 0.0 { format!("{value} {unit}") } else { format!("{} {unit}", digits(value)) }
}

/// A sample of `row` in the unit of the row.
pub fn sample(row: &Row, seconds: f64) -> String {
    match row.unit {
        Unit::Time => time(seconds),
        Unit::TimePerOperation => time(seconds / row.operations.max(1) as f64),
        Unit::Throughput if seconds > 0.0 => format!("{}/s", bytes((row.bytes as f64 / seconds).round())),
        Unit::Throughput => "–".into(),
    }
}

/// `3.20×`
pub fn ratio(value: f64) -> String {
    format!("{}×", digits(value))
}

/// `1.05×`, or for a large ratio its two parts: `16 MiB for 1 B`.
pub fn amplification(of: Written) -> Option<String> {
    const MANY: f64 = 1000.0;
    let times = of.amplification()?;
    let made_of = || format!("{} for {}", bytes(of.upper as f64), bytes(of.changed as f64));
    Some(if times < MANY { ratio(times) } else { made_of() })
}

/// `0.25`, `12`, `1500`: a number without trailing zeros, with at most three decimals (or up to its first digit).
pub fn plain(value: f64) -> String {
    let decimals = zeros(value).max(3);
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `100,000`
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let group = |(n, digit): (usize, char)| {
        let comma = n > 0 && (digits.len() - n).is_multiple_of(3);
        comma.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(group).collect()
}

/// `6 layers, 4 KiB`
pub fn parameters(of: &Parameters) -> String {
    let mut parts = Vec::new();
    parts.extend(of.layers.map(|n| format!("{n} layer{}", if n == 1 { "" } else { "s" })));
    parts.extend(of.files.map(|n| format!("{n} file{}", if n == 1 { "" } else { "s" })));
    parts.extend(of.size.map(|size| bytes(size as f64)));
    parts.extend(of.threads.map(|n| format!("{n} thread{}", if n == 1 { "" } else { "s" })));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_bytes_have_three_digits() {
        for (seconds, text) in [
            (0.0, "0.00 ns"),
            (9.996e-9, "10.0 ns"),
            (1.5e-6, "1.50 µs"),
            (0.999_6e-3, "1.00 ms"),
            (0.012_34, "12.3 ms"),
            (123.4, "123 s"),
        ] {
            assert_eq!(time(seconds), text);
        }
        for (count, text) in [(0.0, "0 B"), (1023.0, "1023 B"), (4096.0, "4 KiB"), (1.5 * 1024.0, "1.50 KiB")] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn amplification_is_a_ratio_or_what_it_is_made_of() {
        for (changed, upper, text) in [
            (0, 4096, None),
            (1 << 20, 1 << 20, Some("1.00×")),
            (4096, 3 << 20, Some("768×")),
            (1, 16 << 20, Some("16 MiB for 1 B")),
            (4096, 1 << 30, Some("1 GiB for 4 KiB")),
            (100, 0, Some("0.00×")),
        ] {
            assert_eq!(amplification(Written { changed, upper }).as_deref(), text);
        }
    }

    #[test]
    fn marks_have_no_more_digits_than_they_need() {
        for (seconds, text) in [(2e-5, "20 µs"), (1e-3, "1 ms"), (0.5, "500 ms"), (10.0, "10 s"), (5e-10, "0.5 ns")] {
            assert_eq!(round_time(seconds), text);
        }
        for (value, text) in [(0.0, "0"), (0.25, "0.25"), (1500.0, "1500"), (2.0004, "2"), (0.0001, "0.0001")] {
            assert_eq!(plain(value), text);
        }
        for (value, text) in
            [(0.0, "0.00×"), (0.0123, "0.012×"), (0.000_45, "0.00045×"), (0.5, "0.50×"), (36.94, "36.9×")]
        {
            assert_eq!(ratio(value), text);
        }
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (100_000, "100,000"), (1 << 20, "1,048,576")] {
            assert_eq!(grouped(value), text);
        }
    }
}
