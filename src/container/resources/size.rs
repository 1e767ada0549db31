//! Parses sizes in bytes, in docker's syntax. Pure.

use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// The text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size: expected a number and b, k, m, g or t, for example 512m")]
pub struct SizeError(String);

impl FromStr for Size {
    type Err = SizeError;

    /// A number, maybe with a fraction, and a unit. All units are binary: `1k`, `1KB` and `1KiB` are 1024 bytes.
    fn from_str(text: &str) -> Result<Size, SizeError> {
        let parse = || {
            let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
            let (number, unit) = text.split_at(at);
            let unit = unit.trim_start().to_ascii_lowercase();
            let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
            let power = ["", "k", "m", "g", "t", "p"].iter().position(|&known| known == unit)?;
            let bytes = number.parse::<f64>().ok()? * 1024f64.powi(i32::try_from(power).ok()?);
            // Above 2^53, a float is not exact; no machine has that much.
            (bytes < 9e15).then_some(Size(bytes as u64))
        };
        parse().ok_or_else(|| SizeError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("5", Some(5)),
            ("5b", Some(5)),
            ("1k", Some(1024)),
            ("1KB", Some(1024)),
            ("1KiB", Some(1024)),
            ("64m", Some(64 << 20)),
            ("1.5g", Some(3 << 29)),
            ("2 T", Some(2 << 40)),
            ("", None),
            ("m", None),
            ("-1", None),
            ("5x", None),
            ("1.2.3m", None),
            ("5mm", None),
            ("99999999p", None),
        ] {
            assert_eq!(text.parse().ok(), expected.map(Size), "{text:?}");
        }
    }
}
