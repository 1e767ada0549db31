//! The grammar of Dockerfiles, as the Dockerfile reference defines it.
//!
//! ```text
//!   text ──lines──► logical lines with their here-documents ──instruction──► Instruction ──► stages
//! ```
//!
//! Nothing is expanded here: what `$x` means depends on the base image and on earlier instructions. [`expand`] does that
//! for one word. The parser is strict: what it does not know is an error with the line and what was expected there.

mod error;
mod expand;
mod flags;
mod heredoc;
mod instruction;
mod lines;
mod mount;
mod words;

use std::collections::HashSet;

pub use error::{ParseError, Problem};
pub use expand::{ExpandError, expand, expand_text, expand_words};
pub use flags::CopyFlags;
pub use heredoc::HereDocument;
pub use instruction::{Add, Arg, Command, Copy, From, Health, Instruction, Kind, Run, Sources};
pub use mount::{BuildMount, MountKind, Sharing};

use lines::Lines;

/// A whole Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// The value of the directive `syntax`, which names a frontend of BuildKit.
    pub syntax: Option<String>,
    /// The character that escapes and continues lines.
    pub escape: char,
    /// The `ARG`s before the first `FROM`: only `FROM` lines can use them.
    pub global: Vec<Instruction>,
    /// At least one.
    pub stages: Vec<Stage>,
}

/// One `FROM`, and the instructions after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The stage's number in the file, from 0.
    pub number: usize,
    /// The instruction that begins it.
    pub from: From,
    /// Where that instruction is.
    pub line: usize,
    /// The text of that instruction.
    pub text: String,
    /// The instructions after it.
    pub instructions: Vec<Instruction>,
}

impl Dockerfile {
    /// Parses the text of a file; `name` is for messages.
    ///
    /// # Errors
    /// The first line that is not as the reference defines it.
    pub fn parse(name: &str, text: &[u8]) -> Result<Dockerfile, ParseError> {
        let named = |problem: Problem| problem.in_file(name);
        let text = std::str::from_utf8(text).map_err(|error| {
            let line = 1 + text[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
            named(Problem::new(line, "", "text in UTF-8"))
        })?;
        let mut lines = Lines::new(text.strip_prefix('\u{feff}').unwrap_or(text)).map_err(named)?;
        let mut file =
            Dockerfile { syntax: lines.syntax.take(), escape: lines.escape, global: Vec::new(), stages: Vec::new() };
        while let Some(line) = lines.next().map_err(named)? {
            let instruction = Instruction::parse(&line, lines.escape).map_err(named)?;
            file.add(instruction).map_err(named)?;
        }
        match file.stages.is_empty() {
            true => Err(named(Problem::new(lines.count(), "", "a FROM instruction: the file has none"))),
            false => Ok(file),
        }
    }

    fn add(&mut self, instruction: Instruction) -> Result<(), Problem> {
        let Instruction { line, text, kind } = instruction;
        match (kind, self.stages.last_mut()) {
            (Kind::From(from), _) => {
                let taken: HashSet<&str> = self.stages.iter().filter_map(|stage| stage.from.name.as_deref()).collect();
                if let Some(name) = from.name.as_deref().filter(|name| taken.contains(name)) {
                    return Err(Problem::new(line, &text, format!("another name: there is a stage {name:?} already")));
                }
                let number = self.stages.len();
                self.stages.push(Stage { number, from, line, text, instructions: Vec::new() });
            }
            (kind @ Kind::Arg(_), None) => self.global.push(Instruction { line, text, kind }),
            (_, None) => return Err(Problem::new(line, &text, "FROM: only ARG can come before the first FROM")),
            (kind, Some(stage)) => stage.instructions.push(Instruction { line, text, kind }),
        }
        Ok(())
    }

    /// The stage that `name` means: a stage's name in any case, or its number.
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        let wanted = name.to_ascii_lowercase();
        let named = self.stages.iter().find(|stage| stage.from.name.as_deref() == Some(&wanted));
        named.or_else(|| self.stages.get(name.parse::<usize>().ok()?))
    }
}

#[cfg(test)]
mod tests;
