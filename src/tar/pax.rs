//! PAX records, `LENGTH KEY=VALUE\n`: read by their length, so that a value may hold any byte.

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
}
