//! The keys that detach from a container's terminal.

use std::str::FromStr;

/// A sequence of keys, and how much of it has been typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    typed: usize,
}

/// The text is not a sequence of keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a sequence of keys: expected characters and ctrl-LETTER between commas, as in ctrl-p,ctrl-q")]
pub struct NoKeys(String);

impl Default for DetachKeys {
    /// Control-P, Control-Q.
    fn default() -> DetachKeys {
        DetachKeys { keys: vec![control(b'p'), control(b'q')], typed: 0 }
    }
}

const fn control(key: u8) -> u8 {
    key & 0x1f
}

impl FromStr for DetachKeys {
    type Err = NoKeys;

    /// Docker's syntax: keys between commas, each a character or `ctrl-` with a letter or one of `@[\]^_`. The empty text:
    /// no keys detach.
    fn from_str(text: &str) -> Result<DetachKeys, NoKeys> {
        let key = |name: &str| match *name.as_bytes() {
            [b'c', b't', b'r', b'l', b'-', key] if key.is_ascii_lowercase() || b"@[\\]^_".contains(&key) => {
                Some(control(key))
            }
            [key] => Some(key),
            _ if name.eq_ignore_ascii_case("del") => Some(127),
            _ => None,
        };
        let keys = if text.is_empty() { Some(Vec::new()) } else { text.split(',').map(key).collect() };
        Ok(DetachKeys { keys: keys.ok_or_else(|| NoKeys(text.into()))?, typed: 0 })
    }
}

impl DetachKeys {
    /// Adds what was typed to `to`, without keys that may begin the sequence: these follow once the sequence is not
    /// completed. Returns whether it is completed.
    pub(in crate::container) fn pass(&mut self, typed: &[u8], to: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            to.extend_from_slice(typed);
            return false;
        }
        for &key in typed {
            while self.typed > 0 && self.keys[self.typed] != key {
                // Not the sequence. The keys held back may still begin it at a later one of them.
                let held = self.keys[..self.typed].to_vec();
                let again = (1..=held.len()).find(|&skip| self.keys.starts_with(&held[skip..])).unwrap_or(held.len());
                to.extend_from_slice(&held[..again]);
                self.typed = held.len() - again;
            }
            if self.keys[self.typed] != key {
                to.push(key);
                continue;
            }
            self.typed += 1;
            if self.typed == self.keys.len() {
                self.typed = 0;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_docker_reads_them() {
        for (text, expected) in [
            ("ctrl-p,ctrl-q", Some(&[16, 17][..])),
            ("a", Some(b"a")),
            ("ctrl-a,b,ctrl-@,ctrl-_,ctrl-[", Some(&[1, b'b', 0, 31, 27])),
            ("DEL", Some(&[127])),
            ("", Some(&[])),
            ("ctrl-", None),
            ("ctrl-P", None),
            ("ab", None),
            ("a,,b", None),
            ("ctrl-é", None),
        ] {
            assert_eq!(text.parse::<DetachKeys>().ok().map(|keys| keys.keys).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_sequence_detaches_and_all_other_keys_are_passed_on() {
        for (keys, typed, passed, detached) in [
            ("a,b", &["xaby"][..], "x", true),
            ("a,b", &["a", "b"], "", true),
            ("a,b", &["a", "c", "b"], "acb", false),
            ("a,b", &["aab"], "a", true),
            ("a,a,b", &["aaab"], "a", true),
            ("a,b,a,c", &["ababac"], "ab", true),
            ("a,b,a,c", &["abab", "x"], "ababx", false),
            ("a", &["a"], "", true),
            ("", &["a", "b"], "ab", false),
        ] {
            let mut sequence: DetachKeys = keys.parse().unwrap();
            let mut to = Vec::new();
            let left = typed.iter().any(|typed| sequence.pass(typed.as_bytes(), &mut to));
            assert_eq!((String::from_utf8(to).unwrap().as_str(), left), (passed, detached), "{keys} {typed:?}");
        }
    }
}
