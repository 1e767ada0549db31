//! Joins the lines of a file to instructions: directives, comments, continued lines and here-documents.

use super::error::Problem;
use super::heredoc::{self, HereDocument};

/// One instruction with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Logical {
    /// Where it begins, from 1.
    pub(super) line: usize,
    /// Continued lines are joined; without comments.
    pub(super) text: String,
    /// In the order in which they are named.
    pub(super) documents: Vec<HereDocument>,
}

/// The lines of a file, after its directives.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    rest: std::iter::Enumerate<std::str::Split<'a, char>>,
    last: usize,
    pub(super) escape: char,
    pub(super) syntax: Option<String>,
}

impl<'a> Lines<'a> {
    /// Reads the directives.
    pub(super) fn new(text: &'a str) -> Result<Lines<'a>, Problem> {
        let mut lines = Lines { rest: text.split('\n').enumerate(), last: 0, escape: '\\', syntax: None };
        let mut seen = Vec::new();
        loop {
            let before = lines.rest.clone();
            let Some((number, line)) = lines.physical() else { break };
            let Some((name, value)) = directive(line) else {
                lines.rest = before;
                break;
            };
            if seen.contains(&name) {
                return Err(Problem::new(number, line, format!("the directive {name} once")));
            }
            match (name.as_str(), value) {
                ("syntax", value) => lines.syntax = Some(value.to_owned()),
                ("escape", "\\") => lines.escape = '\\',
                ("escape", "`") => lines.escape = '`',
                ("escape", _) => return Err(Problem::new(number, line, "escape=\\ or escape=`")),
                // Options of BuildKit's own checks.
                ("check", _) => {}
                // Any other is a comment, and ends the directives.
                _ => break,
            }
            seen.push(name);
        }
        Ok(lines)
    }

    /// How many lines were read.
    pub(super) fn count(&self) -> usize {
        self.last
    }

    fn physical(&mut self) -> Option<(usize, &'a str)> {
        let (index, line) = self.rest.next()?;
        self.last = index + 1;
        Some((index + 1, line.strip_suffix('\r').unwrap_or(line)))
    }

    /// The next instruction.
    pub(super) fn next(&mut self) -> Result<Option<Logical>, Problem> {
        let (line, first) = loop {
            let Some((line, text)) = self.physical() else { return Ok(None) };
            if !is_skipped(text) {
                break (line, text);
            }
        };
        let mut text = String::new();
        let mut part = first.trim_start();
        // A comment or an empty line does not end a continued instruction.
        while let Some(continued) = self.continued(part) {
            text.push_str(continued);
            part = loop {
                match self.physical() {
                    None => break "",
                    Some((_, more)) if is_skipped(more) => {}
                    Some((_, more)) => break more,
                }
            };
        }
        text.push_str(part);
        let text = text.trim_end().to_owned();
        let documents = heredoc::named_in(&text, self.escape)
            .into_iter()
            .map(|wanted| self.document(line, &text, wanted))
            .collect::<Result<_, _>>()?;
        Ok(Some(Logical { line, text, documents }))
    }

    /// The line without the character that continues it; `None` if it is not continued.
    fn continued<'b>(&self, line: &'b str) -> Option<&'b str> {
        let before = line.trim_end_matches([' ', '\t']).strip_suffix(self.escape)?;
        (!before.ends_with(self.escape)).then_some(before)
    }

    fn document(&mut self, line: usize, text: &str, mut wanted: HereDocument) -> Result<HereDocument, Problem> {
        while let Some((_, content)) = self.physical() {
            let content = if wanted.strips_tabs { content.trim_start_matches('\t') } else { content };
            if content == wanted.name {
                return Ok(wanted);
            }
            wanted.content.push_str(content);
            wanted.content.push('\n');
        }
        Err(Problem::new(line, text, format!("a line {:?} that ends the here-document", wanted.name)))
    }
}

fn is_skipped(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

/// `# name=value`.
fn directive(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| (name, value.trim()))
}
