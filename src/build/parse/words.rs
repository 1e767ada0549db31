//! Divides the arguments of an instruction into words.

use super::error::Problem;

/// The words of a text; quotes and escapes stay in them, and hide spaces.
pub(super) fn quoted_words(text: &str, escape: char) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        word.push(c);
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            // Nothing is escaped in single quotes.
            _ if c == escape && quote != Some('\'') => word.extend(chars.next()),
            _ => {}
        }
    }
    words.extend(word);
    match quote {
        Some(open) => Err(format!("a {open} that ends the quoted text")),
        None => Ok(words),
    }
}

/// The first word, and the rest without the space between them.
pub(super) fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    match text.find(char::is_whitespace) {
        Some(end) => (&text[..end], text[end..].trim_start()),
        None => (text, ""),
    }
}

/// The list of a text in the JSON form; `None` if it is not one. As in docker, a text that is nearly JSON is no error:
/// it is the shell form.
pub(super) fn json_list(text: &str) -> Option<Vec<String>> {
    if !text.starts_with('[') {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// `KEY=VALUE …`, or the old form `KEY VALUE` with one pair. Keys and values keep their quotes.
pub(super) fn pairs(line: usize, whole: &str, rest: &str, escape: char) -> Result<Vec<(String, String)>, Problem> {
    let failed = |expected: String| Problem::new(line, whole, expected);
    let (first, value) = first_word(rest);
    if first.is_empty() {
        return Err(failed("KEY=VALUE".into()));
    }
    let words = quoted_words(rest, escape).map_err(failed)?;
    let is_old = !words.first().is_some_and(|word| word.contains('='));
    if is_old {
        return match value.is_empty() {
            true => Err(failed(format!("KEY=VALUE instead of {first:?}"))),
            false => Ok(vec![(first.to_owned(), value.to_owned())]),
        };
    }
    let pair = |word: String| match word.split_once('=') {
        Some(("", _)) => Err(failed(format!("a name before the = of {word:?}"))),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(failed(format!("KEY=VALUE instead of {word:?}; quotes hold a value with spaces together"))),
    };
    words.into_iter().map(pair).collect()
}
