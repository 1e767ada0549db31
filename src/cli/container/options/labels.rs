//! Options about labels, and the files of names and values that they and the environment come from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli::container) struct LabelArgs {
    /// Give the container a label; without a value, an empty one
    #[arg(long = "label", short = 'l', value_name = "NAME[=VALUE]")]
    labels: Vec<String>,
    /// Give the container the labels that are in a file: NAME=VALUE or NAME on each line; # begins a comment
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,
}

impl LabelArgs {
    /// The labels of the files, then those of the command line.
    ///
    /// # Errors
    /// A file cannot be read, or a label has no name.
    pub(in crate::cli::container) fn labels(&self) -> Result<BTreeMap<String, String>> {
        let mut labels = BTreeMap::new();
        for file in &self.label_file {
            labels.extend(lines_of(file)?.into_iter().map(|(name, value)| (name, value.unwrap_or_default())));
        }
        for label in &self.labels {
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            if name.trim().is_empty() {
                bail!("label {label:?} has no name");
            }
            labels.insert(name.into(), value.into());
        }
        Ok(labels)
    }
}

/// The largest file that is read.
const SIZE_MAX: u64 = 16 << 20;

/// The names and values in a file for `--env-file` or `--label-file`; `None` for a name without `=`.
///
/// # Errors
/// The file cannot be read or is malformed.
pub(in crate::cli::container) fn lines_of(path: &Path) -> Result<Vec<(String, Option<String>)>> {
    let read = || -> Result<_> {
        let mut text = String::new();
        File::open(path)?.take(SIZE_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > SIZE_MAX {
            bail!("more than {SIZE_MAX} bytes");
        }
        parse(&text)
    };
    read().with_context(|| format!("{}", path.display()))
}

/// Docker's rules: values are taken as they are, with quotes and spaces.
fn parse(text: &str) -> Result<Vec<(String, Option<String>)>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line.trim_end(), None),
        };
        if name.is_empty() {
            bail!("line {}: there is no name before the =", number + 1);
        }
        if name.contains(char::is_whitespace) {
            bail!("line {}: the name {name:?} has a space", number + 1);
        }
        lines.push((name.to_owned(), value));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_docker_reads_them() {
        let text = "\u{feff}A=1\n\n# no\n  # no\n  B=x = y # \n C=\"q\"\r\nD\nE=\n";
        let expected = [("A", Some("1")), ("B", Some("x = y # ")), ("C", Some("\"q\"")), ("D", None), ("E", Some(""))];
        let expected: Vec<_> = expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).into();
        assert_eq!(parse(text).unwrap(), expected);
        for (bad, said) in
            [("A=1\n=x", "line 2: there is no name before the ="), ("A B=1", "line 1: the name \"A B\" has a space")]
        {
            assert_eq!(parse(bad).unwrap_err().to_string(), said);
        }
    }
}
