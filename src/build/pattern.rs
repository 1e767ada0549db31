//! Fits a text to a pattern in which `*` stands for any characters.

/// Whether the whole `text` fits. `one` tells how many characters of the pattern, at its beginning, fit one character of
/// the text; `None`: it does not fit. Time is bounded by the product of the lengths: only the last `*` is tried again.
pub(super) fn fits(pattern: &str, text: &str, one: impl Fn(&[char], char) -> Option<usize>) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
            continue;
        }
        match (one(&pattern[p..], text[t]), star) {
            (Some(length), _) => (p, t) = (p + length, t + 1),
            (None, Some((at, from))) => {
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}
