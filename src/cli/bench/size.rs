//! Parses sizes with units.

use anyhow::{Result, bail};

/// Parses a size in bytes: `4096`, `4k`, `100M`, `1GiB`. Units are powers of 1024, and case does not matter.
pub(super) fn parse(text: &str) -> Result<u64> {
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
    fn sizes_have_units_or_none() {
        for (text, bytes) in [("4096", 4096), ("4k", 4096), ("100M", 100 << 20), ("1GiB", 1 << 30), ("2 TB", 2 << 40)] {
            assert_eq!(parse(text).ok(), Some(bytes), "{text}");
        }
        for text in ["", "k", "0", "-1", "1.5G", "4x", "99999999999999T"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
