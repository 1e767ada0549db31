//! Cuts a template into texts and tokens.

use super::TemplateError;

/// One piece of a template. `at` is its place, in characters from 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    /// Whether white space is before it: `.A.B` is one operand, `.A .B` are two.
    pub(super) spaced: bool,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Outside of `{{…}}`.
    Text(String),
    Open,
    Close,
    /// A keyword or a function.
    Word(String),
    /// `.` alone.
    Dot,
    /// `.Name`.
    Field(String),
    /// `$name`, or `$` with an empty name.
    Variable(String),
    Quoted(String),
    Integer(i64),
    Float(f64),
    Pipe,
    Comma,
    Declare,
    Assign,
    Left,
    Right,
}

pub(super) fn error(at: usize, what: impl Into<String>) -> TemplateError {
    TemplateError { column: at + 1, what: what.into() }
}

/// All tokens of `text`. Space beside `{{-` and `-}}` is removed; comments too.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, TemplateError> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, tokens: Vec::new() };
    let mut trim = false;
    while lexer.at < lexer.chars.len() {
        lexer.text(trim);
        if lexer.at < lexer.chars.len() {
            trim = lexer.action()?;
        }
    }
    Ok(lexer.tokens)
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn starts(&self, what: &str) -> bool {
        what.chars().enumerate().all(|(n, c)| self.chars.get(self.at + n) == Some(&c))
    }

    fn push(&mut self, at: usize, spaced: bool, kind: Kind) {
        self.tokens.push(Token { at, spaced, kind });
    }

    /// The text up to the next action.
    fn text(&mut self, trim_start: bool) {
        let from = self.at;
        while self.at < self.chars.len() && !self.starts("{{") {
            self.at += 1;
        }
        let text: String = self.chars[from..self.at].iter().collect();
        let mut shown = if trim_start { text.trim_start() } else { &text };
        let trims = self.starts("{{-") && self.chars.get(self.at + 3).is_some_and(|c| c.is_whitespace());
        if trims {
            shown = shown.trim_end();
        }
        if !shown.is_empty() {
            let shown = shown.to_owned();
            self.push(from, false, Kind::Text(shown));
        }
    }

    /// The tokens of one `{{…}}`. Returns whether it trims the text after it.
    fn action(&mut self) -> Result<bool, TemplateError> {
        let start = self.at;
        self.at += 2;
        if self.starts("-") && self.chars.get(self.at + 1).is_some_and(|c| c.is_whitespace()) {
            self.at += 2;
        }
        if self.starts("/*") {
            return self.comment(start);
        }
        self.push(start, false, Kind::Open);
        loop {
            let before = self.at;
            while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
                self.at += 1;
            }
            let spaced = self.at > before;
            let at = self.at;
            let trims = spaced && self.starts("-}}");
            if trims || self.starts("}}") {
                self.at += if trims { 3 } else { 2 };
                self.push(at, spaced, Kind::Close);
                return Ok(trims);
            }
            let Some(&c) = self.chars.get(self.at) else {
                return Err(error(start, "this {{ has no }}"));
            };
            let kind = self.token(c)?;
            self.push(at, spaced, kind);
        }
    }

    fn comment(&mut self, start: usize) -> Result<bool, TemplateError> {
        while self.at < self.chars.len() && !self.starts("*/") {
            self.at += 1;
        }
        self.at += 2;
        let trims = self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) && {
            self.at += 1;
            self.starts("-}}")
        };
        if !trims && !self.starts("}}") {
            return Err(error(start, "this comment does not end in */}}"));
        }
        self.at += if trims { 3 } else { 2 };
        Ok(trims)
    }

    fn token(&mut self, c: char) -> Result<Kind, TemplateError> {
        let at = self.at;
        let next = self.chars.get(at + 1).copied();
        self.at += 1;
        Ok(match c {
            '|' => Kind::Pipe,
            ',' => Kind::Comma,
            '(' => Kind::Left,
            ')' => Kind::Right,
            '=' => Kind::Assign,
            ':' if next == Some('=') => {
                self.at += 1;
                Kind::Declare
            }
            '.' if next.is_some_and(|next| next.is_alphabetic() || next == '_') => Kind::Field(self.word()),
            '.' if !next.is_some_and(|next| next.is_ascii_digit()) => Kind::Dot,
            '$' => Kind::Variable(self.word()),
            '"' => Kind::Quoted(self.quoted(at)?),
            '`' => Kind::Quoted(self.raw(at)?),
            '\'' => self.character(at)?,
            _ if c.is_ascii_digit() || "+-.".contains(c) => {
                self.at = at;
                self.number()?
            }
            _ if c.is_alphabetic() || c == '_' => {
                self.at = at;
                Kind::Word(self.word())
            }
            _ => return Err(error(at, format!("{c:?} is not expected here"))),
        })
    }

    fn word(&mut self) -> String {
        let from = self.at;
        while self.chars.get(self.at).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
            self.at += 1;
        }
        self.chars[from..self.at].iter().collect()
    }

    fn number(&mut self) -> Result<Kind, TemplateError> {
        let from = self.at;
        let part = |c: &char| c.is_ascii_alphanumeric() || "+-._".contains(*c);
        while self.chars.get(self.at).is_some_and(part) {
            self.at += 1;
        }
        let text: String = self.chars[from..self.at].iter().filter(|c| **c != '_').collect();
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text.strip_prefix('+').unwrap_or(&text)),
        };
        let whole = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => digits.parse::<i64>().ok(),
        };
        match (whole, text.parse::<f64>()) {
            (Some(whole), _) => Ok(Kind::Integer(sign * whole)),
            (None, Ok(float)) if float.is_finite() => Ok(Kind::Float(float)),
            _ => Err(error(from, format!("{text:?} is no number"))),
        }
    }

    fn quoted(&mut self, start: usize) -> Result<String, TemplateError> {
        let mut out = String::new();
        loop {
            match self.chars.get(self.at) {
                None | Some('\n') => return Err(error(start, "this text has no closing quote")),
                Some('"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some('\\') => out.push(self.escape()?),
                Some(c) => {
                    out.push(*c);
                    self.at += 1;
                }
            }
        }
    }

    /// The character of an escape in a quoted text; `self.at` is at the backslash.
    fn escape(&mut self) -> Result<char, TemplateError> {
        let at = self.at;
        let c = self.chars.get(at + 1).copied();
        self.at += 2;
        let digits = match c {
            Some('n') => return Ok('\n'),
            Some('t') => return Ok('\t'),
            Some('r') => return Ok('\r'),
            Some('a') => return Ok('\u{7}'),
            Some('b') => return Ok('\u{8}'),
            Some('f') => return Ok('\u{c}'),
            Some('v') => return Ok('\u{b}'),
            Some(c @ ('\\' | '"' | '\'')) => return Ok(c),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => return Err(error(at, "this is no escape: expected \\n, \\t, \\\\, \\\" or \\uXXXX")),
        };
        let hex: String = self.chars.iter().skip(self.at).take(digits).collect();
        self.at += digits;
        let code = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == digits);
        code.and_then(char::from_u32).ok_or_else(|| error(at, "this escape is no character"))
    }

    fn raw(&mut self, start: usize) -> Result<String, TemplateError> {
        let from = self.at;
        while self.chars.get(self.at).is_some_and(|c| *c != '`') {
            self.at += 1;
        }
        if self.at == self.chars.len() {
            return Err(error(start, "this text has no closing quote"));
        }
        self.at += 1;
        Ok(self.chars[from..self.at - 1].iter().collect())
    }

    /// `'x'`, which is a number in Go.
    fn character(&mut self, start: usize) -> Result<Kind, TemplateError> {
        let c = match self.chars.get(self.at) {
            Some('\\') => self.escape()?,
            Some(c) => {
                self.at += 1;
                *c
            }
            None => return Err(error(start, "this character has no closing quote")),
        };
        if !self.starts("'") {
            return Err(error(start, "one character is expected between single quotes"));
        }
        self.at += 1;
        Ok(Kind::Integer(i64::from(u32::from(c))))
    }
}
