//! Sizes in bytes as docker's options have them: `64m`, `1.5GiB`, `4096`.

/// The text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size: expected a number with b, k, m, g, t or p, for instance 64m")]
pub struct SizeError(String);

/// Reads a size. Units are powers of 1024, in either case, also as `kb` or `KiB`; without one, bytes.
///
/// # Errors
/// The text is not a size, or a size above 2^63.
pub fn bytes(text: &str) -> Result<u64, SizeError> {
    let wrong = || SizeError(text.to_owned());
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit == "ib" => return Err(wrong()),
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(wrong()),
    };
    let scale = 1_u64 << (10 * power);
    // Whole numbers are exact; only a fraction goes through floating point.
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(scale),
        Err(_) if number.starts_with('.') || number.ends_with('.') => None,
        Err(_) => {
            let value = number.parse::<f64>().map_err(|_| wrong())? * scale as f64;
            (value < i64::MAX as f64).then_some(value as u64)
        }
    };
    bytes.filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_as_docker_reads_it() {
        for (text, expected) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("1b", Some(1)),
            ("64m", Some(64 << 20)),
            ("64M", Some(64 << 20)),
            ("64mb", Some(64 << 20)),
            ("64MiB", Some(64 << 20)),
            ("1.5g", Some(3 << 29)),
            ("2 k", Some(2048)),
            ("1t", Some(1 << 40)),
            ("8191p", Some(8191 << 50)),
            ("8192p", None),
            ("9223372036854775808", None),
            ("18446744073709551616", None),
            ("1e400", None),
            ("", None),
            ("m", None),
            ("-1", None),
            ("1x", None),
            ("1ib", None),
            ("1.m", None),
            (".5m", None),
            ("1.2.3", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text:?}");
        }
    }
}
