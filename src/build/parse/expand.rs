//! Expands variables in words: `$x`, `${x}`, `${x:-y}`, `${x:+y}`, `${x:?y}`, `${x#y}`, `${x%y}`, `${x/y/z}`.

use std::iter::Peekable;
use std::str::Chars;

use super::super::pattern::fits;

/// Why a word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A brace or a quote is not closed.
    #[error("expected {0:?} to end it")]
    Open(char),
    /// What follows `${` is no variable with a known modifier.
    #[error("expected a variable in ${{…}} instead of {0:?}")]
    Form(String),
    /// `${x:?message}` of a variable that is not set.
    #[error("{name}: {message}")]
    Unset {
        /// The variable.
        name: String,
        /// The author's words.
        message: String,
    },
}

type Result<T> = std::result::Result<T, ExpandError>;

/// Expands one word and removes its quotes. `value` is `None` for a variable that is not set.
///
/// # Errors
/// The word is malformed, or demands a variable that is not set.
pub fn expand(word: &str, escape: char, value: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let words = Expansion { chars: word.chars().peekable(), escape, value, quotes: true }.words()?;
    Ok(words.into_iter().map(|(_, text)| text).collect())
}

/// Expands one word, and divides what variables bring in at spaces outside quotes, as EXPOSE and VOLUME need it.
///
/// # Errors
/// As [`expand`].
pub fn expand_words(word: &str, escape: char, value: &dyn Fn(&str) -> Option<String>) -> Result<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for (divides, text) in (Expansion { chars: word.chars().peekable(), escape, value, quotes: true }).words()? {
        for c in text.chars() {
            match (divides && c.is_whitespace(), open, words.last_mut()) {
                (true, ..) => open = false,
                (false, true, Some(last)) => last.push(c),
                (false, ..) => {
                    words.push(c.to_string());
                    open = true;
                }
            }
        }
    }
    Ok(words)
}

/// Expands the text of a here-document, in which quotes are kept.
///
/// # Errors
/// As [`expand`].
pub fn expand_text(text: &str, escape: char, value: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let words = Expansion { chars: text.chars().peekable(), escape, value, quotes: false }.words()?;
    Ok(words.into_iter().map(|(_, text)| text).collect())
}

struct Expansion<'a> {
    chars: Peekable<Chars<'a>>,
    escape: char,
    value: &'a dyn Fn(&str) -> Option<String>,
    /// Whether quotes quote.
    quotes: bool,
}

/// What follows a variable's name in `${…}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Modifier {
    Default,
    Alternative,
    Demand,
    Prefix { longest: bool },
    Suffix { longest: bool },
    Replace { all: bool },
}

impl Expansion<'_> {
    /// The parts of the whole word; the first of each pair tells whether spaces in it divide words.
    fn words(&mut self) -> Result<Vec<(bool, String)>> {
        let mut parts = Vec::new();
        while let Some(c) = self.chars.next() {
            match c {
                '\'' if self.quotes => parts.push((false, self.until_quote()?)),
                '"' if self.quotes => parts.push((false, self.double_quoted()?)),
                '$' => parts.push((self.quotes, self.variable()?)),
                c if c == self.escape => parts.push((false, self.escaped())),
                c => parts.push((false, c.to_string())),
            }
        }
        Ok(parts)
    }

    /// What an escape outside quotes stands for. In a text without quotes only `$` and the escape can be escaped.
    fn escaped(&mut self) -> String {
        match self.chars.next() {
            None => self.escape.to_string(),
            Some(c) if self.quotes || c == '$' || c == self.escape => c.to_string(),
            Some(c) => [self.escape, c].iter().collect(),
        }
    }

    fn until_quote(&mut self) -> Result<String> {
        let mut text = String::new();
        loop {
            match self.chars.next() {
                None => return Err(ExpandError::Open('\'')),
                Some('\'') => return Ok(text),
                Some(c) => text.push(c),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<String> {
        let mut text = String::new();
        loop {
            match self.chars.next() {
                None => return Err(ExpandError::Open('"')),
                Some('"') => return Ok(text),
                Some('$') => text.push_str(&self.variable()?),
                Some(c) if c == self.escape => match self.chars.next() {
                    Some(next) if next == '"' || next == '$' || next == self.escape => text.push(next),
                    next => text.extend([c].into_iter().chain(next)),
                },
                Some(c) => text.push(c),
            }
        }
    }

    /// What follows a `$`.
    fn variable(&mut self) -> Result<String> {
        match self.chars.peek() {
            Some('{') => {
                self.chars.next();
                self.braces()
            }
            Some(c) if is_name_start(*c) => {
                let name = self.name();
                Ok((self.value)(&name).unwrap_or_default())
            }
            // `$1` and the like are variables of a shell, which are never set here.
            Some(c) if c.is_ascii_digit() || "@*#?-$!".contains(*c) => {
                self.chars.next();
                Ok(String::new())
            }
            _ => Ok("$".into()),
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.chars.next_if(|&c| is_name_start(c) || c.is_ascii_digit()) {
            name.push(c);
        }
        name
    }

    fn braces(&mut self) -> Result<String> {
        let name = self.name();
        let malformed = |rest: &mut dyn Iterator<Item = char>| {
            ExpandError::Form(name.chars().chain(rest.take_while(|&c| c != '}')).collect())
        };
        if name.is_empty() {
            return Err(malformed(&mut self.chars));
        }
        let value = (self.value)(&name);
        let colon = self.chars.next_if_eq(&':').is_some();
        let Some(sign) = self.chars.next() else { return Err(ExpandError::Open('}')) };
        let modifier = match (sign, colon) {
            ('}', false) => return Ok(value.unwrap_or_default()),
            ('-', _) => Modifier::Default,
            ('+', _) => Modifier::Alternative,
            ('?', _) => Modifier::Demand,
            ('#', false) => Modifier::Prefix { longest: self.chars.next_if_eq(&'#').is_some() },
            ('%', false) => Modifier::Suffix { longest: self.chars.next_if_eq(&'%').is_some() },
            ('/', false) => Modifier::Replace { all: self.chars.next_if_eq(&'/').is_some() },
            _ => return Err(malformed(&mut [sign].into_iter().chain(&mut self.chars))),
        };
        let operand = self.operand(if matches!(modifier, Modifier::Replace { .. }) { Some('/') } else { None })?;
        let replacement = match modifier {
            Modifier::Replace { .. } => self.operand(None)?,
            _ => String::new(),
        };
        // With a colon an empty value counts as none.
        let set = value.filter(|value| !colon || !value.is_empty());
        Ok(match modifier {
            Modifier::Default => set.unwrap_or(operand),
            Modifier::Alternative => set.map_or(String::new(), |_| operand),
            Modifier::Demand => match set {
                Some(value) => value,
                None if operand.is_empty() => {
                    return Err(ExpandError::Unset { name, message: "not set".into() });
                }
                None => return Err(ExpandError::Unset { name, message: operand }),
            },
            Modifier::Prefix { longest } => without_prefix(&set.unwrap_or_default(), &operand, longest),
            Modifier::Suffix { longest } => without_suffix(&set.unwrap_or_default(), &operand, longest),
            Modifier::Replace { all } => replaced(&set.unwrap_or_default(), &operand, &replacement, all),
        })
    }

    /// The expanded text up to the closing brace, or up to `end`.
    fn operand(&mut self, end: Option<char>) -> Result<String> {
        let mut text = String::new();
        while let Some(c) = self.chars.next() {
            match c {
                '}' if end.is_none() => return Ok(text),
                c if Some(c) == end => return Ok(text),
                '\'' if self.quotes => text.push_str(&self.until_quote()?),
                '"' if self.quotes => text.push_str(&self.double_quoted()?),
                '$' => text.push_str(&self.variable()?),
                c if c == self.escape => text.extend(self.chars.next()),
                c => text.push(c),
            }
        }
        Err(ExpandError::Open(end.unwrap_or('}')))
    }
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

/// Positions between characters, from the first to the last.
fn bounds(text: &str) -> impl DoubleEndedIterator<Item = usize> {
    let inner: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    inner.into_iter()
}

fn without_prefix(text: &str, pattern: &str, longest: bool) -> String {
    let fits = |&end: &usize| matches(pattern, &text[..end]);
    let end = if longest { bounds(text).rev().find(fits) } else { bounds(text).find(fits) };
    text[end.unwrap_or(0)..].to_owned()
}

fn without_suffix(text: &str, pattern: &str, longest: bool) -> String {
    let fits = |&start: &usize| matches(pattern, &text[start..]);
    let start = if longest { bounds(text).find(fits) } else { bounds(text).rev().find(fits) };
    text[..start.unwrap_or(text.len())].to_owned()
}

/// Replaces the longest match at each place.
fn replaced(text: &str, pattern: &str, by: &str, all: bool) -> String {
    let mut result = String::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        match bounds(rest).rev().find(|&end| end > 0 && matches(pattern, &rest[..end])) {
            Some(end) => {
                result.push_str(by);
                at += end;
                if !all {
                    break;
                }
            }
            None => {
                let c = rest.chars().next().map_or(1, char::len_utf8);
                result.push_str(&rest[..c]);
                at += c;
            }
        }
    }
    result + &text[at..]
}

/// Whether the whole text fits a pattern of `*` (any characters) and `?` (one character).
fn matches(pattern: &str, text: &str) -> bool {
    fits(pattern, text, |pattern, c| pattern.first().filter(|&&first| first == '?' || first == c).map(|_| 1))
}
