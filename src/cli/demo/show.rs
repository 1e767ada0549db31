//! Shows the trees of the demo, and the layer that each file comes from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::super::output::{self, Table};

/// A longer list of names is replaced by their number.
const NAMES_WIDTH: usize = 36;

/// A layer's directory, and its name in the output.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub name: String,
    pub dir: PathBuf,
}

/// Every file, and the name of the layer that it comes from.
pub(super) type Tree = BTreeMap<PathBuf, String>;

/// Finds for each of `files` the first of `sources`, topmost first, that has it.
pub(super) fn tree(files: Vec<PathBuf>, sources: &[Source]) -> Tree {
    let name = |path: &Path| {
        let source = sources.iter().find(|source| source.dir.join(path).symlink_metadata().is_ok());
        source.map_or("nowhere", |source| &source.name).to_owned()
    };
    files.into_iter().map(|path| (path.clone(), name(&path))).collect()
}

/// A table of both trees. Files of one directory with the same cells share a line.
pub(super) fn comparison(before: &Tree, after: &Tree) -> String {
    let mut groups: Vec<(Row<'_>, Vec<String>)> = Vec::new();
    let mut paths: Vec<&PathBuf> = before.keys().chain(after.keys()).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        let state = |tree: &Tree, absent: &str| tree.get(path).map_or(absent, String::as_str).to_owned();
        let dir = path.parent().unwrap_or(Path::new(""));
        let row = Row { dir, before: state(before, "-"), after: state(after, "deleted") };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match groups.last_mut() {
            Some((last, names)) if *last == row => names.push(name),
            _ => groups.push((row, vec![name])),
        }
    }
    let mut table = Table::new(&["FILE", "BEFORE", "AFTER"]);
    for (row, names) in groups {
        let dir = if row.dir == Path::new("") { String::new() } else { format!("/{}", row.dir.display()) };
        table.row([format!("{dir}/{}", in_short(&names)), row.before, row.after]);
    }
    indent(&table.render())
}

#[derive(PartialEq)]
struct Row<'a> {
    dir: &'a Path,
    before: String,
    after: String,
}

fn in_short(names: &[String]) -> String {
    match names {
        [one] => one.clone(),
        _ => {
            let listed = format!("{{{}}}", names.join(","));
            if listed.len() <= NAMES_WIDTH { listed } else { format!("* ({} files)", names.len()) }
        }
    }
}

/// Prints a heading after an empty line.
///
/// # Errors
/// Standard output cannot be written to.
pub(super) fn heading(number: u8, text: &str) -> Result<()> {
    output::print(&format!("\n{number}. {text}\n"))
}

/// Indents `text` below a heading.
pub(super) fn indent(text: &str) -> String {
    text.lines().map(|line| format!("   {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_directory_with_the_same_cells_share_a_line() {
        let tree = |files: &[(&str, &str)]| {
            files.iter().map(|&(path, layer)| (PathBuf::from(path), layer.to_owned())).collect::<Tree>()
        };
        let before = tree(&[("bin/cat", "tools"), ("bin/ls", "tools"), ("bin/sh", "shell"), ("etc/c", "settings")]);
        let after = tree(&[("bin/cat", "tools"), ("bin/ls", "tools"), ("bin/sh", "container"), ("new", "container")]);
        let expected = "   FILE            BEFORE     AFTER
   /bin/{cat,ls}   tools      tools
   /bin/sh         shell      container
   /etc/c          settings   deleted
   /new            -          container
";
        assert_eq!(comparison(&before, &after), expected);
        assert_eq!(in_short(&vec!["a-long-name".to_owned(); 5]), "* (5 files)");
    }
}
