//! Figures as readers expect them: three digits and a unit.

use anyhow::{Result, bail};

use crate::bench::result::{Parameters, Row, Unit};

/// Three digits, of a number that is at least 0.
fn digits(value: f64) -> String {
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$}")
}

/// `12.3 µs`
pub(super) fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 0.999_5e-6 => (s * 1e9, "ns"),
        s if s < 0.999_5e-3 => (s * 1e6, "µs"),
        s if s < 0.999_5 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{} {unit}", digits(value))
}

/// `1.50 MiB`; whole numbers of a unit without decimals.
pub(super) fn bytes(bytes: f64) -> String {
    let mut value = bytes;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 1024.0 {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / 1024.0, next);
    }
    if value.fract() == 0.0 { format!("{value} {unit}") } else { format!("{} {unit}", digits(value)) }
}

/// A sample of `row`, in its unit.
pub(super) fn sample(row: &Row, seconds: f64) -> String {
    match row.unit {
        Unit::Time => time(seconds),
        Unit::TimePerOperation => time(seconds / row.operations.max(1) as f64),
        Unit::Throughput if seconds > 0.0 => format!("{}/s", bytes((row.bytes as f64 / seconds).round())),
        Unit::Throughput => "–".into(),
    }
}

/// `3.2×`
pub(super) fn ratio(value: f64) -> String {
    format!("{}×", digits(value))
}

/// `6 layers, 4 KiB`
pub(super) fn parameters(of: &Parameters) -> String {
    let mut parts = Vec::new();
    parts.extend(of.layers.map(|n| format!("{n} layer{}", if n == 1 { "" } else { "s" })));
    parts.extend(of.files.map(|n| format!("{n} file{}", if n == 1 { "" } else { "s" })));
    parts.extend(of.size.map(|size| bytes(size as f64)));
    parts.extend(of.threads.map(|n| format!("{n} thread{}", if n == 1 { "" } else { "s" })));
    parts.join(", ")
}

/// A size as people write it: `4096`, `4k`, `100M`, `1GiB`.
pub(super) fn parse_size(text: &str) -> Result<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => bail!("a size is a number with K, M, G or T: 4K, 100M, 1G"),
    };
    let bytes = number.parse::<u64>().ok().and_then(|n| n.checked_mul(1 << shift));
    match bytes {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => bail!("a size is a number with K, M, G or T: 4K, 100M, 1G"),
    }
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
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [("4096", 4096), ("4k", 4096), ("100M", 100 << 20), ("1GiB", 1 << 30), ("2 TB", 2 << 40)] {
            assert_eq!(parse_size(text).ok(), Some(bytes), "{text}");
        }
        for text in ["", "k", "0", "-1", "1.5G", "4x", "99999999999999T"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
