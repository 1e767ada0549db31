//! Decodes the numbers in archive headers, in both forms that archivers write.

/// Decodes a numeric header field: octal text, or big-endian two's complement if the top bit is set.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 == 0 {
        let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
        let text = std::str::from_utf8(&field[..end]).ok()?.trim();
        // Tools leave unused fields blank.
        return if text.is_empty() { Some(0) } else { i64::from_str_radix(text, 8).ok().filter(|n| *n >= 0) };
    }
    let negative = first & 0x40 != 0;
    let start = i128::from(first & 0x7f) - if negative { 0x80 } else { 0 };
    let value = rest.iter().try_fold(start, |n, &b| n.checked_mul(256).map(|n| n + i128::from(b)))?;
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary() {
        let cases: [(&[u8], Option<i64>); 9] = [
            (b"0000644\0", Some(0o644)),
            (b" 644 \0\0\0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"0000648\0", None),
            (b"-000001\0", None),
            (&[0x80, 0, 0, 0, 0x80, 0, 0, 0], Some(1 << 31)),
            (&[0xff; 12], Some(-1)),
            (&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], None),
            (&[0xbf; 20], None),
        ];
        for (field, expected) in cases {
            assert_eq!(number(field), expected, "{}", field.escape_ascii());
        }
    }
}
