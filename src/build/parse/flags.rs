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
    /// `--link`: the layer does not depend on the layers below.
    pub link: bool,
    /// `--parents`: the directories of a source are kept.
    pub parents: bool,
    /// `--exclude=PATTERN`, any number of times.
    pub exclude: Vec<String>,
    /// `--from=STAGE|IMAGE` of COPY.
    pub from: Option<String>,
    /// `--checksum=DIGEST` of ADD.
    pub checksum: Option<String>,
    /// `--keep-git-dir` of ADD.
    pub keep_git_dir: bool,
    /// `--unpack` of ADD; `None`: local archives are unpacked, remote ones are not.
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
    const COPY: &[&str] = &["from", "chown", "chmod", "link", "parents", "exclude"];
    const ADD: &[&str] = &["chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack"];

    pub(super) fn of_copy(flags: &[Flag], line: usize, text: &str) -> Result<CopyFlags, Problem> {
        CopyFlags::parse(flags, line, text, CopyFlags::COPY)
    }

    pub(super) fn of_add(flags: &[Flag], line: usize, text: &str) -> Result<CopyFlags, Problem> {
        CopyFlags::parse(flags, line, text, CopyFlags::ADD)
    }

    fn parse(flags: &[Flag], line: usize, text: &str, known: &[&str]) -> Result<CopyFlags, Problem> {
        let mut parsed = CopyFlags::default();
        for flag in flags {
            if !known.contains(&flag.name.as_str()) {
                return Err(flag.unknown(line, text, known));
            }
            match flag.name.as_str() {
                "from" => parsed.from = Some(flag.required(line, text)?),
                "chown" => parsed.chown = Some(flag.required(line, text)?),
                "chmod" => parsed.chmod = Some(flag.required(line, text)?),
                "checksum" => parsed.checksum = Some(flag.required(line, text)?),
                "exclude" => parsed.exclude.push(flag.required(line, text)?),
                "link" => parsed.link = flag.switch(line, text)?,
                "parents" => parsed.parents = flag.switch(line, text)?,
                "keep-git-dir" => parsed.keep_git_dir = flag.switch(line, text)?,
                _ => parsed.unpack = Some(flag.switch(line, text)?),
            }
        }
        Ok(parsed)
    }
}
