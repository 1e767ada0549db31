//! One instruction and its arguments.

use std::time::Duration;

use super::error::Problem;
use super::flags::{self, CopyFlags, Flag};
use super::heredoc::HereDocument;
use super::lines::Logical;
use super::mount::BuildMount;
use super::words::{first_word, json_list, pairs, quoted_words};

type Result<T> = std::result::Result<T, Problem>;

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Where it begins, from 1.
    pub line: usize,
    /// As it was written, with continued lines joined.
    pub text: String,
    /// What it says.
    pub kind: Kind,
}

/// What an instruction says. Words keep their quotes and variables, unless stated otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `FROM`.
    From(From),
    /// `ARG NAME[=DEFAULT] …`.
    Arg(Vec<Arg>),
    /// `RUN`.
    Run(Run),
    /// `CMD`.
    Cmd(Command),
    /// `ENTRYPOINT`.
    Entrypoint(Command),
    /// `COPY`.
    Copy(Copy),
    /// `ADD`.
    Add(Add),
    /// `ENV`: names and values.
    Env(Vec<(String, String)>),
    /// `LABEL`: keys and values.
    Label(Vec<(String, String)>),
    /// `EXPOSE`: ports.
    Expose(Vec<String>),
    /// `VOLUME`: paths.
    Volume(Vec<String>),
    /// `USER`.
    User(String),
    /// `WORKDIR`.
    Workdir(String),
    /// `SHELL`: never empty, and never expanded.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    StopSignal(String),
    /// `HEALTHCHECK`.
    Healthcheck(Health),
    /// `ONBUILD`: another instruction, kept as text.
    Onbuild(Box<Instruction>),
    /// `MAINTAINER`: a name.
    Maintainer(String),
}

/// `FROM [--platform=P] IMAGE [AS NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// `--platform`.
    pub platform: Option<String>,
    /// An image, an earlier stage, or `scratch`.
    pub image: String,
    /// The stage's name, in lower case.
    pub name: Option<String>,
}

/// One variable of an `ARG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// The variable.
    pub name: String,
    /// Its default.
    pub default: Option<String>,
}

/// A command in one of its two forms. It is never expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A text for the shell.
    Shell(String),
    /// A program and its arguments; can be empty for `CMD []`.
    Exec(Vec<String>),
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The command; with here-documents the text of the shell form, without their content.
    pub command: Command,
    /// `--mount`.
    pub mounts: Vec<BuildMount>,
    /// `--network=default|none|host`.
    pub network: Option<String>,
    /// `--security=insecure|sandbox`.
    pub security: Option<String>,
    /// In the order in which the command names them.
    pub documents: Vec<HereDocument>,
}

/// What COPY and ADD copy, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// Paths or patterns; for ADD also URLs.
    pub paths: Vec<String>,
    /// Files that the Dockerfile itself contains.
    pub documents: Vec<HereDocument>,
    /// Where they go; a directory if it ends in a slash.
    pub target: String,
}

/// `COPY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The flags.
    pub flags: CopyFlags,
    /// The arguments.
    pub sources: Sources,
}

/// `ADD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// The flags.
    pub flags: CopyFlags,
    /// The arguments.
    pub sources: Sources,
}

/// `HEALTHCHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// No check, not even the base image's.
    None,
    /// A command that tells whether the container works.
    Check {
        /// The command.
        command: Command,
        /// `--interval`.
        interval: Option<Duration>,
        /// `--timeout`.
        timeout: Option<Duration>,
        /// `--start-period`.
        start_period: Option<Duration>,
        /// `--start-interval`.
        start_interval: Option<Duration>,
        /// `--retries`.
        retries: Option<u32>,
    },
}

const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// One instruction while it is parsed.
struct Parser<'a> {
    line: usize,
    text: &'a str,
    escape: char,
    documents: Vec<HereDocument>,
}

impl Instruction {
    pub(super) fn parse(logical: &Logical, escape: char) -> Result<Instruction> {
        let Logical { line, text, documents } = logical;
        let parser = Parser { line: *line, text, escape, documents: documents.clone() };
        Ok(Instruction { line: *line, text: text.clone(), kind: parser.kind(text)? })
    }

    /// Parses a trigger: an instruction of a base image's `OnBuild`, which is one line.
    ///
    /// # Errors
    /// As a line of a Dockerfile.
    pub fn trigger(text: &str) -> Result<Instruction> {
        Instruction::parse(&Logical { line: 1, text: text.trim().to_owned(), documents: Vec::new() }, '\\')
    }
}

impl Parser<'_> {
    fn problem(&self, expected: impl Into<String>) -> Problem {
        Problem::new(self.line, self.text, expected)
    }

    fn kind(&self, text: &str) -> Result<Kind> {
        let (keyword, rest) = first_word(text);
        let upper = keyword.to_ascii_uppercase();
        let (flags, arguments) = match upper.as_str() {
            "ADD" | "COPY" | "FROM" | "HEALTHCHECK" | "RUN" => flags::take(rest),
            _ => (Vec::new(), rest),
        };
        if arguments.is_empty() && KEYWORDS.contains(&upper.as_str()) {
            return Err(self.problem(format!("arguments after {upper}")));
        }
        Ok(match upper.as_str() {
            "FROM" => Kind::From(self.from(&flags, arguments)?),
            "ARG" => Kind::Arg(self.args(arguments)?),
            "RUN" => Kind::Run(self.run(&flags, arguments)?),
            "CMD" => Kind::Cmd(command(arguments)),
            "ENTRYPOINT" => Kind::Entrypoint(command(arguments)),
            "COPY" => {
                let flags = CopyFlags::of_copy(&flags, self.line, self.text)?;
                Kind::Copy(Copy { flags, sources: self.sources(arguments)? })
            }
            "ADD" => {
                let flags = CopyFlags::of_add(&flags, self.line, self.text)?;
                Kind::Add(Add { flags, sources: self.sources(arguments)? })
            }
            "ENV" => Kind::Env(pairs(self.line, self.text, arguments, self.escape)?),
            "LABEL" => Kind::Label(pairs(self.line, self.text, arguments, self.escape)?),
            "EXPOSE" => Kind::Expose(self.words(arguments)?),
            "VOLUME" => Kind::Volume(self.volumes(arguments)?),
            "USER" => Kind::User(self.one(arguments, "one USER[:GROUP]")?),
            "WORKDIR" => Kind::Workdir(arguments.to_owned()),
            "SHELL" => match json_list(arguments).filter(|list| !list.is_empty()) {
                Some(list) => Kind::Shell(list),
                None => return Err(self.problem(r#"a list in JSON: SHELL ["PROGRAM", "ARGUMENT"]"#)),
            },
            "STOPSIGNAL" => Kind::StopSignal(self.one(arguments, "one signal")?),
            "HEALTHCHECK" => Kind::Healthcheck(self.health(&flags, arguments)?),
            "ONBUILD" => Kind::Onbuild(Box::new(self.trigger(arguments)?)),
            "MAINTAINER" => Kind::Maintainer(arguments.to_owned()),
            _ => return Err(self.unknown(keyword)),
        })
    }

    fn unknown(&self, keyword: &str) -> Problem {
        let upper = keyword.to_ascii_uppercase();
        let near = KEYWORDS.iter().map(|known| (strsim::osa_distance(known, &upper), known)).min();
        match near {
            Some((distance, known)) if distance <= 2 => self.problem(format!("{known} instead of {keyword:?}")),
            _ => self.problem(format!("an instruction instead of {keyword:?}")),
        }
    }

    fn words(&self, text: &str) -> Result<Vec<String>> {
        quoted_words(text, self.escape).map_err(|expected| self.problem(expected))
    }

    fn one(&self, text: &str, expected: &str) -> Result<String> {
        match <[String; 1]>::try_from(self.words(text)?) {
            Ok([word]) => Ok(word),
            Err(_) => Err(self.problem(expected)),
        }
    }

    fn from(&self, flags: &[Flag], arguments: &str) -> Result<From> {
        let mut platform = None;
        for flag in flags {
            match flag.name.as_str() {
                "platform" => platform = Some(flag.required(self.line, self.text)?),
                _ => return Err(flag.unknown(self.line, self.text, &["platform"])),
            }
        }
        let words = self.words(arguments)?;
        let (image, name) = match &words[..] {
            [image] => (image, None),
            [image, keyword, name] if keyword.eq_ignore_ascii_case("AS") => (image, Some(name.to_ascii_lowercase())),
            _ => return Err(self.problem("FROM IMAGE, or FROM IMAGE AS NAME")),
        };
        if let Some(name) = &name {
            let mut bytes = name.bytes();
            let is_name = bytes.next().is_some_and(|b| b.is_ascii_lowercase())
                && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
            if !is_name {
                return Err(self.problem(format!(
                    "the name of a stage instead of {name:?}: a letter, then letters, digits, - _ and ."
                )));
            }
        }
        Ok(From { platform, image: image.clone(), name })
    }

    fn args(&self, arguments: &str) -> Result<Vec<Arg>> {
        let arg = |word: String| {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
                None => (word.clone(), None),
            };
            match name.is_empty() {
                true => Err(self.problem(format!("a name instead of {word:?}"))),
                false => Ok(Arg { name, default }),
            }
        };
        self.words(arguments)?.into_iter().map(arg).collect()
    }

    fn run(&self, flags: &[Flag], arguments: &str) -> Result<Run> {
        const KNOWN: &[&str] = &["mount", "network", "security"];
        let (mut mounts, mut network, mut security) = (Vec::new(), None, None);
        for flag in flags {
            let value = || flag.required(self.line, self.text);
            match flag.name.as_str() {
                "mount" => mounts.push(BuildMount::parse(&value()?, self.line, self.text)?),
                "network" => network = Some(value()?),
                "security" => security = Some(value()?),
                _ => return Err(flag.unknown(self.line, self.text, KNOWN)),
            }
        }
        match network.as_deref() {
            None | Some("default" | "none" | "host") => {}
            Some(other) => {
                return Err(self.problem(format!("--network=default, none or host instead of {other:?}")));
            }
        }
        match security.as_deref() {
            None | Some("sandbox") => {}
            Some(_) => return Err(self.problem("--security=sandbox: builds run no privileged step")),
        }
        Ok(Run { command: command(arguments), mounts, network, security, documents: self.documents.clone() })
    }

    fn sources(&self, arguments: &str) -> Result<Sources> {
        let words = match json_list(arguments) {
            Some(list) => list,
            None => self.words(arguments)?,
        };
        let Some((target, sources)) = words.split_last().filter(|(_, sources)| !sources.is_empty()) else {
            return Err(self.problem("SOURCE… TARGET"));
        };
        let is_document = |word: &&String| HereDocument::named_by(word).is_some();
        let paths: Vec<String> = sources.iter().filter(|word| !is_document(word)).cloned().collect();
        if paths.len() + self.documents.len() > 1 && !target.ends_with('/') && !target.contains('$') {
            return Err(self.problem(format!("{target}/ with a slash: several sources need a directory")));
        }
        Ok(Sources { paths, documents: self.documents.clone(), target: target.clone() })
    }

    fn volumes(&self, arguments: &str) -> Result<Vec<String>> {
        let paths = match json_list(arguments) {
            Some(list) => list,
            None => self.words(arguments)?,
        };
        match paths.is_empty() || paths.iter().any(|path| path.trim().is_empty()) {
            true => Err(self.problem("paths that are not empty")),
            false => Ok(paths),
        }
    }

    fn health(&self, flags: &[Flag], arguments: &str) -> Result<Health> {
        const KNOWN: &[&str] = &["interval", "timeout", "start-period", "start-interval", "retries"];
        let (keyword, rest) = first_word(arguments);
        if keyword.eq_ignore_ascii_case("NONE") {
            return match rest.is_empty() && flags.is_empty() {
                true => Ok(Health::None),
                false => Err(self.problem("HEALTHCHECK NONE alone")),
            };
        }
        if !keyword.eq_ignore_ascii_case("CMD") || rest.is_empty() {
            return Err(self.problem("HEALTHCHECK [FLAGS] CMD COMMAND, or HEALTHCHECK NONE"));
        }
        let [mut interval, mut timeout, mut start_period, mut start_interval] = [None; 4];
        let mut retries = None;
        for flag in flags {
            let value = flag.required(self.line, self.text)?;
            let time = || {
                let expected = format!("a time such as 30s or 1m30s after --{}=", flag.name);
                go_duration(&value).map(Some).ok_or_else(|| self.problem(expected))
            };
            match flag.name.as_str() {
                "interval" => interval = time()?,
                "timeout" => timeout = time()?,
                "start-period" => start_period = time()?,
                "start-interval" => start_interval = time()?,
                "retries" => {
                    let number = value.parse().map_err(|_| self.problem("a number after --retries="))?;
                    retries = Some(number);
                }
                _ => return Err(flag.unknown(self.line, self.text, KNOWN)),
            }
        }
        Ok(Health::Check { command: command(rest), interval, timeout, start_period, start_interval, retries })
    }

    fn trigger(&self, arguments: &str) -> Result<Instruction> {
        let keyword = first_word(arguments).0.to_ascii_uppercase();
        if ["FROM", "MAINTAINER", "ONBUILD"].contains(&keyword.as_str()) {
            return Err(self.problem(format!("another instruction than {keyword} after ONBUILD")));
        }
        if !self.documents.is_empty() {
            return Err(self.problem("ONBUILD without here-documents: an image keeps it as one line"));
        }
        Ok(Instruction { line: self.line, text: arguments.to_owned(), kind: self.kind(arguments)? })
    }
}

fn command(text: &str) -> Command {
    json_list(text).map_or_else(|| Command::Shell(text.to_owned()), Command::Exec)
}

/// A time as Go writes it: `1h30m`, `1.5s`, `500ms`, `0`.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let after = &rest[end..];
        let units = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let (unit, seconds) = units.into_iter().find(|(unit, _)| after.starts_with(unit))?;
        total += number * seconds;
        rest = &after[unit.len()..];
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(total).ok())?
}
