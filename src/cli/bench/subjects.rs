//! Finds the subjects of a benchmark on this host.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::bench::result::{self, State};
use crate::bench::{Kind, Subject};

/// The names that `--subjects` takes besides `NAME=PROGRAM`.
const WORDS: [&str; 5] = ["native", "overlayfs", "overfuse", "fuse-overlayfs", "unionfs-fuse"];

/// The requested subjects.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub subjects: Vec<Subject>,
    /// Subjects that this host lacks, with the reason.
    pub skipped: Vec<result::Subject>,
}

impl Found {
    /// Finds the subjects that `asked` names; all of them if it is empty.
    ///
    /// # Errors
    /// A name is not a subject.
    pub(super) fn find(asked: &[String]) -> Result<Found> {
        let mut found = Found::default();
        if asked.is_empty() {
            WORDS.iter().try_for_each(|word| found.add(word))?;
        }
        for value in asked {
            // Everything after NAME=PROGRAM is mount options, which contain commas too.
            let (words, program) = match value.find('=') {
                Some(equals) => value.split_at(value[..equals].rfind(',').map_or(0, |comma| comma + 1)),
                None => (value.as_str(), ""),
            };
            words.split(',').map(str::trim).filter(|word| !word.is_empty()).try_for_each(|word| found.add(word))?;
            if let Some((name, program)) = program.split_once('=') {
                found.add_program(name.trim(), program)?;
            }
        }
        let mut names = HashSet::new();
        found.subjects.retain(|subject| names.insert(subject.name.clone()));
        Ok(found)
    }

    fn add(&mut self, word: &str) -> Result<()> {
        match word {
            "native" => self.subjects.push(Subject::native()),
            "overlayfs" => {
                let version = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
                let version = format!("Linux {}", version.trim());
                self.subjects.push(Subject { name: word.into(), version, kind: Kind::Overlayfs });
            }
            "overfuse" => {
                let program = std::env::current_exe().context("finding the path of this program")?;
                let kind = Kind::Program { program, options: String::new() };
                self.subjects.push(Subject { name: word.into(), version: env!("CARGO_PKG_VERSION").into(), kind });
            }
            "fuse-overlayfs" => {
                let programs = on_path(word);
                if programs.is_empty() {
                    self.skip(word, "not found on PATH");
                }
                self.subjects.extend(programs.into_iter().map(|program| {
                    let version = version(&program);
                    let name = version.as_deref().map_or(word.into(), |v| format!("{word}-{}", short(v)));
                    let kind = Kind::Program { program, options: String::new() };
                    Subject { name, version: version.unwrap_or_default(), kind }
                }));
            }
            "unionfs-fuse" => match on_path(word).into_iter().next() {
                None => self.skip(word, "not found on PATH"),
                Some(program) => {
                    let version = version(&program).unwrap_or_default();
                    self.subjects.push(Subject { name: word.into(), version, kind: Kind::Unionfs { program } });
                }
            },
            _ if word.starts_with("fuse-overlayfs-") => {
                let mut all = Found::default();
                all.add("fuse-overlayfs")?;
                match all.subjects.into_iter().find(|subject| subject.name == word) {
                    Some(subject) => self.subjects.push(subject),
                    None => self.skip(word, "not found on PATH in that version"),
                }
            }
            _ => {
                bail!("no subject {word:?}: there are {}, and NAME=PROGRAM[,mount,options]", WORDS.join(", "))
            }
        }
        Ok(())
    }

    fn add_program(&mut self, name: &str, text: &str) -> Result<()> {
        let (program, options) = text.split_once(',').unwrap_or((text, ""));
        if name.is_empty() || program.is_empty() {
            bail!("a subject of your own is NAME=PROGRAM[,mount,options]");
        }
        let name = name.to_owned();
        let found = match program {
            "overfuse" => std::env::current_exe(),
            word if !word.contains('/') => {
                on_path(word).into_iter().next().ok_or_else(|| io::Error::other("not found on PATH"))
            }
            path => Path::new(path).canonicalize(),
        };
        match found {
            Ok(program) => {
                let version = version(&program).unwrap_or_default();
                let kind = Kind::Program { program, options: options.into() };
                self.subjects.push(Subject { name, version, kind });
            }
            Err(error) => self.skip(&name, &format!("{program}: {error}")),
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, name: &str, why: &str) {
        self.skipped.push(result::Subject {
            name: name.into(),
            version: String::new(),
            mounted: String::new(),
            state: State::Skipped(why.into()),
        });
    }
}

/// All programs of that name on `PATH`. A program that several links lead to is listed once.
fn on_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut known = HashSet::new();
    let candidates = std::env::split_paths(&path).map(|dir| dir.join(name));
    candidates
        .filter(|program| program.is_file())
        .filter_map(|program| program.canonicalize().ok())
        .filter(|program| known.insert(program.clone()))
        .collect()
}

/// The version that `PROGRAM --version` prints to either stream.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    own_version(&String::from_utf8_lossy(&said), &program.file_name()?.to_string_lossy())
}

/// The version in the line that begins with the program's name, else the first one: programs print the versions of
/// their libraries too.
fn own_version(said: &str, name: &str) -> Option<String> {
    said.lines().filter(|line| line.starts_with(name)).chain(said.lines()).find_map(number)
}

/// The first version number in a line.
fn number(line: &str) -> Option<String> {
    let words = line.split(|c: char| c.is_whitespace() || c == ',').map(|word| word.trim_start_matches('v'));
    words.filter(|word| word.contains('.')).find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(Into::into)
}

/// The first two numbers of a version.
fn short(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, expected) in [
            ("fuse-overlayfs: version 1.10", Some("1.10")),
            ("fuse-overlayfs: version 2.0.0-dev", Some("2.0.0-dev")),
            ("overfuse 0.1.0", Some("0.1.0")),
            ("v1.2, built today", Some("1.2")),
            ("no number here.", None),
        ] {
            assert_eq!(number(said).as_deref(), expected, "{said}");
        }
        let said = "fusermount3 version: 3.14.0\nfuse-overlayfs: version 1.10\nFUSE library version 3.14.0";
        assert_eq!(own_version(said, "fuse-overlayfs").as_deref(), Some("1.10"));
        assert_eq!(short("2.0.0-dev"), "2.0");
    }

    #[test]
    fn subjects_are_words_and_programs_with_their_options() {
        let find = |asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(|word| (*word).to_owned()).collect();
            Found::find(&asked)
        };
        let found = find(&["native,mine=/bin/true,a=1,b", "overlayfs"]).expect("subjects");
        let names: Vec<&str> = found.subjects.iter().map(|subject| subject.name.as_str()).collect();
        assert_eq!(names, ["native", "mine", "overlayfs"]);
        assert!(matches!(&found.subjects[1].kind, Kind::Program { options, .. } if options == "a=1,b"));
        let found = find(&["tuned=overfuse,threads=1", "sh=sh", "fuse-overlayfs-0.0"]).expect("subjects");
        let kinds: Vec<&Kind> = found.subjects.iter().map(|subject| &subject.kind).collect();
        let own = std::env::current_exe().expect("this program");
        assert!(matches!(kinds[0], Kind::Program { program, options } if *program == own && options == "threads=1"));
        assert!(matches!(kinds[1], Kind::Program { program, .. } if program.is_absolute()));
        assert_eq!(found.skipped[0].name, "fuse-overlayfs-0.0");
        let found = find(&["mine=/no/such/program"]).expect("subjects");
        assert!(matches!(&found.skipped[0].state, State::Skipped(why) if why.contains("/no/such/program")));
        assert!(find(&["nonsense"]).is_err());
        assert!(find(&["=/bin/true"]).is_err());
    }
}
