//! What is wrong with a Dockerfile, and where.

/// A line is not as the Dockerfile reference defines it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: expected {expected}{}", shown(.text))]
pub struct ParseError {
    /// The file, as the user named it.
    pub file: String,
    /// The line where the instruction begins, from 1.
    pub line: usize,
    /// The instruction, in one line.
    pub text: String,
    /// What should be there.
    pub expected: String,
}

/// A [`ParseError`] before the file's name is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    line: usize,
    text: String,
    expected: String,
}

/// The longest part of an instruction that a message repeats, in characters.
const TEXT_MAX: usize = 120;

impl Problem {
    pub(super) fn new(line: usize, text: &str, expected: impl Into<String>) -> Problem {
        Problem { line, text: text.to_owned(), expected: expected.into() }
    }

    /// Adds the name of the file.
    pub fn in_file(self, file: &str) -> ParseError {
        let Problem { line, text, expected } = self;
        ParseError { file: file.to_owned(), line, text, expected }
    }
}

fn shown(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match one_line.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!(": {}…", &one_line[..end]),
        None => format!(": {one_line}"),
    }
}
