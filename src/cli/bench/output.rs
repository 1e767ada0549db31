//! Writes a report to standard output and to files.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

use super::super::output::{harmless, print};
use super::table;
use crate::bench::baseline::Comparison;
use crate::bench::result::FORMAT;
use crate::bench::{Report, html, number};

/// The outputs of a report. They are opened before measuring, so that a file that cannot be written fails early.
#[derive(Debug)]
pub(super) struct Outputs {
    json: Option<Target>,
    html: Option<Target>,
    svg: Option<Target>,
}

#[derive(Debug)]
enum Target {
    Standard,
    /// A file, and the temporary file beside it that replaces it when written.
    File(NamedTempFile, PathBuf),
    /// A device or a pipe.
    Special(PathBuf),
}

impl Target {
    fn reserve(path: &Path) -> Result<Target> {
        if path.as_os_str() == "-" {
            return Ok(Target::Standard);
        }
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            if path.is_dir() {
                bail!("{} is a directory", path.display());
            }
            return Ok(Target::Special(path.into()));
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = NamedTempFile::new_in(parent).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Target::File(file, path.into()))
    }

    fn write(self, text: &str) -> Result<()> {
        match self {
            Target::Standard => print(text),
            Target::Special(path) => fs::write(&path, text).with_context(|| format!("writing {}", path.display())),
            Target::File(mut file, path) => {
                let write = || -> Result<()> {
                    file.write_all(text.as_bytes())?;
                    use std::os::unix::fs::PermissionsExt;
                    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
                    file.persist(&path)?;
                    Ok(())
                };
                write().with_context(|| format!("writing {}", path.display()))
            }
        }
    }
}

impl Outputs {
    /// Opens the outputs.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn reserve(json: Option<&Path>, html: Option<&Path>, svg: Option<&Path>) -> Result<Outputs> {
        let reserve = |path: Option<&Path>| path.map(Target::reserve).transpose();
        Ok(Outputs { json: reserve(json)?, html: reserve(html)?, svg: reserve(svg)? })
    }

    /// Writes the report to each output, and as a table to standard output unless that is one of the outputs.
    ///
    /// # Errors
    /// As `write(2)`; also when there is no ratio to draw.
    pub(super) fn write(self, report: &Report, comparison: Option<&Comparison>) -> Result<()> {
        let targets = [&self.json, &self.html, &self.svg];
        let to_standard = targets.into_iter().any(|target| matches!(target, Some(Target::Standard)));
        if let Some(target) = self.json {
            target.write(&(serde_json::to_string_pretty(report)? + "\n"))?;
        }
        if let Some(target) = self.html {
            target.write(&html::page(report))?;
        }
        if let Some(target) = self.svg {
            let picture = html::picture(report).context("--svg: no measured row has a ratio")?;
            target.write(&picture)?;
        }
        if to_standard {
            return Ok(());
        }
        print(&table::render(report))?;
        comparison.map_or(Ok(()), |comparison| print(&moved(comparison)))
    }
}

/// Reads a file that `--json` wrote.
///
/// # Errors
/// The file cannot be read, is not such a file, or has another format version.
pub(super) fn read(path: &Path) -> Result<Report> {
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let not_ours = || format!("{} was not written by overfuse bench --json", path.display());
    let Format { format } = serde_json::from_slice(&text).with_context(not_ours)?;
    if format != FORMAT {
        bail!("{} has format {format}, but this program reads format {FORMAT}: measure again", path.display());
    }
    serde_json::from_slice(&text).with_context(not_ours)
}

/// Lines about every row that changed.
fn moved(comparison: &Comparison) -> String {
    let mut text = format!(
        "\nOf {} figures {} moved beyond the noise of the baseline, {} of them to slower.\n",
        comparison.compared,
        comparison.moved.len(),
        comparison.slower()
    );
    for note in &comparison.notes {
        text += &format!("Not the same: {}\n", harmless(note));
    }
    for moved in &comparison.moved {
        let what = [moved.row.clone(), number::parameters(&moved.parameters)].join(" ");
        let direction = if moved.is_slower() { "slower" } else { "faster" };
        let (before, after) = (number::time(moved.before), number::time(moved.after));
        let ratio = number::ratio(if moved.is_slower() { moved.ratio() } else { 1.0 / moved.ratio() });
        let line = format!("{direction} {ratio}: {}, {}: {before} → {after}", moved.subject, what.trim_end());
        text += &(harmless(&line) + "\n");
    }
    text
}
