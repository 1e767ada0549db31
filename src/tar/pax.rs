//! PAX records, `LENGTH KEY=VALUE\n`. They are read by their length, so that a value may contain any byte.

use crate::sys::Timestamp;

/// The records of one extended header, in order; `None` when they are malformed.
pub(super) fn parse(mut data: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    while !data.is_empty() {
        let space = data.iter().position(|&b| b == b' ')?;
        let len: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
        let (record, rest) = data.split_at_checked(len)?;
        let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
        let equals = body.iter().position(|&b| b == b'=')?;
        records.push((&body[..equals], &body[equals + 1..]));
        data = rest;
    }
    Some(records)
}

/// Appends one record to `out`. The length counts its own digits.
pub(super) fn push(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + digits(len) {
        len = rest + digits(len);
    }
    out.extend_from_slice(format!("{len} ").as_bytes());
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn digits(n: usize) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Decimal seconds with a fraction, as PAX writes times: `-1.5` is half a second before -1.
pub(super) fn seconds(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let sec: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nsec: u32 = format!("{fraction:0<9.9}").parse().ok()?;
    if whole.starts_with('-') && nsec > 0 {
        return Some(Timestamp { sec: sec.checked_sub(1)?, nsec: 1_000_000_000 - nsec });
    }
    Some(Timestamp { sec, nsec })
}

/// Formats a time for [`seconds`].
pub(super) fn time(time: Timestamp) -> String {
    let Timestamp { sec, nsec } = time;
    let (sign, sec, nsec) = match (sec < 0, nsec) {
        (true, 0) => ("-", sec.unsigned_abs(), 0),
        (true, nsec) => ("-", sec.unsigned_abs() - 1, 1_000_000_000 - nsec),
        (false, nsec) => ("", sec.unsigned_abs(), nsec),
    };
    let text = format!("{sign}{sec}.{nsec:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_parsed_again_at_every_length() {
        for len in 0..1200 {
            let value = vec![b'\n'; len];
            let mut data = Vec::new();
            push(&mut data, b"SCHILY.xattr.user.x", &value);
            push(&mut data, b"path", b"a=b c");
            let expected: Vec<(&[u8], &[u8])> = vec![(b"SCHILY.xattr.user.x", &value), (b"path", b"a=b c")];
            assert_eq!(parse(&data), Some(expected), "{len}");
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in
            ["x", "5 a=b\n", "7 a=b\n", "6 a=bc", "6 abcd\n", "0 a=b\n", "-6 a=b\n", "99999999999999999999 a=b\n"]
        {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(parse(b"6 a=b\n"), Some(vec![(&b"a"[..], &b"b"[..])]));
    }

    #[test]
    fn times_have_nanoseconds_and_may_be_negative() {
        let cases = [
            ("0", Some((0, 0))),
            ("12.5", Some((12, 500_000_000))),
            ("12.0000000019", Some((12, 1))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-0.25", Some((-1, 750_000_000))),
            ("-3", Some((-3, 0))),
            ("", None),
            ("1.x", None),
            ("1.-5", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(seconds(text.as_bytes()).map(|t| (t.sec, t.nsec)), expected, "{text:?}");
        }
    }

    #[test]
    fn times_survive_writing_and_reading() {
        for (sec, nsec) in [(0, 0), (0, 1), (10, 0), (5, 120_000_000), (-1, 0), (-1, 999_999_999), (-2, 500_000_000)] {
            let expected = Timestamp { sec, nsec };
            assert_eq!(seconds(time(expected).as_bytes()), Some(expected), "{sec} {nsec}");
        }
    }
}
