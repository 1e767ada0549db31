//! The flags of an instruction: `--name=value` before its arguments.

use super::error::Problem;
use super::words::first_word;

/// One flag, without its dashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flag {
    pub(super) name: String,
    /// `None`: it was given without `=`.
    pub(super) value: Option<String>,
}

/// The flags of COPY and ADD. Their values are not expanded yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyFlags {
    /// `--chown=USER[:GROUP]`.
    pub chown: Option<String>,
    /// `--chmod=MODE`.
    pub chmod: Option<String>,
    /// `--link`, which asks for a layer that does not depend on the layers below. Builds warn that they ignore it.
    pub link: bool,
    /// `--exclude=PATTERN`, any number of times.
    pub exclude: Vec<String>,
    /// `--from=STAGE|IMAGE` of COPY.
    pub from: Option<String>,
    /// `--unpack` of ADD; `None`: archives are unpacked.
    pub unpack: Option<bool>,
}

/// Takes the flags off the beginning of `rest`.
pub(super) fn take(mut rest: &str) -> (Vec<Flag>, &str) {
    let mut flags = Vec::new();
    loop {
        let (word, after) = first_word(rest);
        let Some(flag) = word.strip_prefix("--") else { return (flags, rest) };
        // `--` alone ends the flags.
        if flag.is_empty() {
            return (flags, after);
        }
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        flags.push(Flag { name: name.to_owned(), value });
        rest = after;
    }
}

impl Flag {
    /// Its value, which must be there.
    pub(super) fn required(&self, line: usize, text: &str) -> Result<String, Problem> {
        let missing = || Problem::new(line, text, format!("--{}=VALUE", self.name));
        self.value.clone().filter(|value| !value.is_empty()).ok_or_else(missing)
    }

    /// Its value as a switch.
    pub(super) fn switch(&self, line: usize, text: &str) -> Result<bool, Problem> {
        match self.value.as_deref() {
            None | Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(Problem::new(line, text, format!("--{0}, --{0}=true or --{0}=false", self.name))),
        }
    }

    /// The error for a flag that the instruction does not have.
    pub(super) fn unknown(&self, line: usize, text: &str, known: &[&str]) -> Problem {
        let known: Vec<String> = known.iter().map(|name| format!("--{name}")).collect();
        let expected = match known.is_empty() {
            true => format!("no flag --{} here", self.name),
            false => format!("{} instead of --{}", known.join(", "), self.name),
        };
        Problem::new(line, text, expected)
    }
}

impl CopyFlags {
    /// Docker has these too.
    const UNSUPPORTED: &[&str] = &["parents", "checksum", "keep-git-dir"];
    const COPY: &[&str] = &["from", "chown", "chmod", "link", "exclude"];
    const ADD: &[&str] = &["chown", "chmod", "link", "exclude", "unpack"];

    pub(super) fn of_copy(flags: &[Flag], line: usize, text: &str) -> Result<CopyFlags, Problem> {
        CopyFlags::parse(flags, line, text, CopyFlags::COPY)
    }

    pub(super) fn of_add(flags: &[Flag], line: usize, text: &str) -> Result<CopyFlags, Problem> {
        CopyFlags::parse(flags, line, text, CopyFlags::ADD)
    }

    fn parse(flags: &[Flag], line: usize, text: &str, known: &[&str]) -> Result<CopyFlags, Problem> {
        let mut parsed = CopyFlags::default();
        for flag in flags {
            if CopyFlags::UNSUPPORTED.contains(&flag.name.as_str()) {
                return Err(Problem::new(
                    line,
                    text,
                    format!("an instruction without --{}: it is not supported", flag.name),
                ));
            }
            if !known.contains(&flag.name.as_str()) {
                return Err(flag.unknown(line, text, known));
            }
            match flag.name.as_str() {
                "from" => parsed.from = Some(flag.required(line, text)?),
                "chown" => parsed.chown = Some(flag.required(line, text)?),
                "chmod" => parsed.chmod = Some(flag.required(line, text)?),
                "exclude" => parsed.exclude.push(flag.required(line, text)?),
                "link" => parsed.link = flag.switch(line, text)?,
                _ => parsed.unpack = Some(flag.switch(line, text)?),
            }
        }
        Ok(parsed)
    }
}
