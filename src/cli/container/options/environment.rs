//! Options about environment variables.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::container::Variable;

#[derive(Debug, Args)]
pub(in crate::cli::container) struct EnvironmentArgs {
    /// Set an environment variable; without a value, to its value here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,
    /// Set the variables in a file: one on each line, as for --env; lines that begin with # are comments
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
}

impl EnvironmentArgs {
    /// The changes in the order in which they apply: those of files come first.
    ///
    /// # Errors
    /// A file cannot be read, or a variable has no name.
    pub(in crate::cli::container) fn changes(&self) -> Result<Vec<Variable>> {
        let mut changes = Vec::new();
        for path in &self.env_file {
            let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            for (number, line) in lines(&text) {
                let variable = in_file(line).with_context(|| format!("{}, line {number}", path.display()))?;
                // As in docker: a name in a file that has no value here changes nothing.
                changes.extend(Some(variable).filter(|variable| matches!(variable, Variable::Set(..))));
            }
        }
        for text in &self.env {
            changes.push(with_own_value(Variable::parse(text)?));
        }
        Ok(changes)
    }
}

/// The lines that are not empty and no comments, with their numbers.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let lines = text.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start());
    (1..).zip(lines).filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
}

fn in_file(line: &[u8]) -> Result<Variable> {
    let name = line.split(|&b| b == b'=').next().unwrap_or_default();
    if name.iter().any(u8::is_ascii_whitespace) {
        bail!("{:?} is not a name of a variable", OsStr::from_bytes(name));
    }
    Ok(with_own_value(Variable::parse(OsStr::from_bytes(line))?))
}

/// A name without a value takes the value of this process's variable.
fn with_own_value(variable: Variable) -> Variable {
    match variable {
        Variable::Unset(name) => match env::var_os(&name) {
            Some(value) => Variable::Set(name, value),
            None => Variable::Unset(name),
        },
        set => set,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_docker_reads_it() {
        let text = b"\xef\xbb\xbfA=1\n\n# comment\n  B=2 \r\n#C=3\nD=#4\nE=a=b\nF=";
        let read: Vec<(usize, Variable)> = lines(text).map(|(number, line)| (number, in_file(line).unwrap())).collect();
        let set = |name: &str, value: &str| Variable::Set(name.into(), value.into());
        let expected =
            [(1, set("A", "1")), (4, set("B", "2 ")), (6, set("D", "#4")), (7, set("E", "a=b")), (8, set("F", ""))];
        assert_eq!(read, expected);
        for bad in ["=x", "A B=1", "A =1"] {
            assert!(in_file(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }
}
