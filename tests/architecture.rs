//! Holds `src/` against the table in `src/lib.rs` (which module may use which), and against rules that no lint knows:
//! where the kernel is reached, who prints, and how large a file grows.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 600;

struct Source {
    /// Relative to `src/`.
    path: PathBuf,
    text: String,
}

impl Source {
    /// The module at the root of the crate that this file belongs to: `union` for `union/lookup.rs`.
    fn module(&self) -> &str {
        let first = self.path.components().next().expect("a path below src");
        first.as_os_str().to_str().expect("a module's name").trim_end_matches(".rs")
    }

    /// The lines that are code, numbered from 1: no comments, no docs.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Every line of code that contains one of `words`, as `src/x.rs:7: line`.
    fn lines_with<'a>(&'a self, words: &'a [&str]) -> impl Iterator<Item = String> + 'a {
        self.code()
            .filter(|(_, line)| words.iter().any(|word| contains(line, word)))
            .map(|(number, line)| format!("src/{}:{number}: {}", self.path.display(), line.trim()))
    }
}

/// Whether `word` stands in `line` with no identifier running into it from the left.
fn contains(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn sources() -> Vec<Source> {
    fn into(sources: &mut Vec<Source>, root: &Path, dir: &Path) {
        for entry in fs::read_dir(dir).expect("list src") {
            let path = entry.expect("list src").path();
            if path.is_dir() {
                into(sources, root, &path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("read a source file");
                sources.push(Source { path: path.strip_prefix(root).expect("below src").into(), text });
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    into(&mut sources, &root, &root);
    assert!(sources.len() > 10, "src/ was not found");
    sources
}

/// The modules that a line names: `crate::layer::…`, and each of `crate::{layer, sys::Dir}`.
fn used(line: &str) -> Vec<String> {
    let identifier =
        |text: &str| text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next().map(String::from);
    let mut modules = Vec::new();
    for (at, path) in line.match_indices("crate::") {
        match line[at + path.len()..].strip_prefix('{') {
            None => modules.extend(identifier(&line[at + path.len()..])),
            Some(group) => modules.extend(members(group).into_iter().filter_map(identifier)),
        }
    }
    modules
}

/// The members of a `{…}` group of a `use`, each with its own tail.
fn members(group: &str) -> Vec<&str> {
    let mut members = Vec::new();
    let (mut depth, mut from) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(&group[from..at]);
                return members;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&group[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    members.push(&group[from..]);
    members
}

#[track_caller]
fn assert_none(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

/// A row of the table in the docs of the crate.
#[derive(Debug, PartialEq)]
struct Row {
    module: String,
    /// Those that it may use; `None` for all.
    may_use: Option<Vec<String>>,
}

/// The rows of the table under `| module | owns | may use |` in the docs of `lib`.
fn table(lib: &str) -> Vec<Row> {
    let doc = lib.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let rows = doc.skip_while(|line| *line != "| module | owns | may use |").skip(2);
    rows.take_while(|line| line.starts_with('|')).map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [link, _, uses] = cells.as_slice() else { panic!("a row of three cells: {line}") };
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(String::from).collect::<Vec<_>>();
    let module = quoted(link).pop().unwrap_or_else(|| panic!("a module in backticks: {line}"));
    let module = module.trim_start_matches("mod@").to_owned();
    let may_use = match *uses {
        "all" => None,
        "–" => Some(Vec::new()),
        listed => {
            let names = quoted(listed);
            assert_eq!(listed, names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "), "{line}");
            Some(names)
        }
    };
    Row { module, may_use }
}

#[test]
fn the_table_is_read_as_markdown() {
    let row = |module: &str, may_use: Option<&[&str]>| Row {
        module: module.into(),
        may_use: may_use.map(|names| names.iter().map(|name| name.to_string()).collect()),
    };
    let lib = "//! | module | owns | may use |\n//! |---|---|---|\n//! | [`sys`] | `unsafe` | – |\n\
        //! | [`mod@bench`] | figures | `sys`, `cli` |\n//! | [`tar`](mod@tar) | x | all |\n//!\n//! | [`no`] | x | – |\n";
    assert_eq!(table(lib), [row("sys", Some(&[])), row("bench", Some(&["sys", "cli"])), row("tar", None)]);
}

#[test]
fn modules_use_only_those_that_the_table_allows() {
    let sources = sources();
    let lib = sources.iter().find(|source| source.path == Path::new("lib.rs")).expect("src/lib.rs");
    let table = table(&lib.text);
    let declared: Vec<&str> =
        lib.code().filter_map(|(_, line)| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    for row in &table {
        assert!(declared.contains(&row.module.as_str()), "src/lib.rs has a row for {}, which is no module", row.module);
    }
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !["lib", "main"].contains(&source.module())) {
        let module = source.module();
        let row = table.iter().find(|row| row.module == module);
        let Some(row) = row else { panic!("the table in src/lib.rs has no row for {module}") };
        let Some(allowed) = &row.may_use else { continue };
        // A use may go over several lines, so the whole is read as one.
        let text: String = source.code().map(|(_, line)| line.trim()).collect::<Vec<_>>().join(" ");
        for name in used(&text) {
            let is_module = table.iter().any(|row| row.module == name);
            if is_module && name != module && !allowed.contains(&name) {
                found.push(format!("src/{}: {module} uses {name}", source.path.display()));
            }
        }
    }
    assert_none(found, "these uses are not in the table in src/lib.rs");
}

#[test]
fn a_use_of_several_modules_is_read_as_each_of_them() {
    assert_eq!(used("use crate::sys::Dir;"), ["sys"]);
    assert_eq!(
        used("use crate::{layer::{Policy, marks}, sys}; fn f() { crate::union::x() }"),
        ["layer", "sys", "union"]
    );
}

#[test]
fn the_kernel_is_reached_through_sys_alone() {
    let outside = sources().into_iter().filter(|source| source.module() != "sys");
    let found = outside.flat_map(|source| {
        source.lines_with(&["allow(unsafe_code", "libc::", "rustix::", "io_uring::"]).collect::<Vec<_>>()
    });
    assert_none(found.collect(), "libc, rustix, io_uring and leave to be unsafe belong in src/sys");
}

#[test]
fn messages_are_laid_out_by_fuse_alone() {
    let outside = sources().into_iter().filter(|source| source.module() != "fuse");
    let found = outside.flat_map(|source| source.lines_with(&["zerocopy::"]).collect::<Vec<_>>());
    assert_none(found.collect(), "what the kernel's messages look like belongs in src/fuse");
}

#[test]
fn the_library_neither_prints_nor_reads_the_environment() {
    let words = ["println!", "eprintln!", "print!", "eprint!", "dbg!", "std::env", "env::var", "env::args"];
    let library = sources().into_iter().filter(|source| !["cli", "main"].contains(&source.module()));
    let found = library.flat_map(|source| source.lines_with(&words).collect::<Vec<_>>());
    assert_none(found.collect(), "printing and the environment belong in src/cli");
}

#[test]
fn nothing_is_left_to_be_done() {
    let words = ["todo!(", "unimplemented!(", "#[ignore"];
    let found = sources().into_iter().flat_map(|source| source.lines_with(&words).collect::<Vec<_>>());
    assert_none(found.collect(), "these are not written yet");
}

#[test]
fn a_file_holds_one_idea() {
    let lengths = sources().into_iter().map(|source| (source.path.clone(), source.text.lines().count()));
    let found =
        lengths.filter(|(_, lines)| *lines > LINES_MAX).map(|(path, lines)| format!("src/{}: {lines}", path.display()));
    assert_none(found.collect(), "what second idea moved in here?");
}

#[test]
fn every_module_begins_by_saying_what_it_owns() {
    let found = sources().into_iter().filter(|source| !source.text.starts_with("//!"));
    assert_none(found.map(|source| format!("src/{}", source.path.display())).collect(), "these begin without //!");
}
