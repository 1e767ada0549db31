//! Holds `src/` against the plan of the house: who may use whom, where the kernel is reached, who
//! prints, and how large a file grows.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module with those that it may use, and nothing else. `cli` may use all.
const MAY_USE: &[(&str, &[&str])] = &[
    ("sys", &[]),
    ("privilege", &["sys"]),
    ("layer", &["sys"]),
    ("union", &["layer", "sys"]),
    ("fuse", &["union", "sys"]),
    ("image", &[]),
    ("tar", &["layer", "sys"]),
    ("store", &["image", "tar", "layer", "sys"]),
    ("container", &["store", "image", "tar", "fuse", "union", "layer", "sys"]),
    ("bench", &["fuse", "union", "layer", "sys"]),
];

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

#[test]
fn modules_use_only_those_that_the_table_allows() {
    let mut found = Vec::new();
    for source in sources() {
        let module = source.module();
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            assert!(["cli", "lib", "main"].contains(&module), "the table has no row for {module}");
            continue;
        };
        // A use may go over several lines, so the whole is read as one.
        let text: String = source.code().map(|(_, line)| line.trim()).collect::<Vec<_>>().join(" ");
        for name in used(&text) {
            let is_module = name == "cli" || MAY_USE.iter().any(|(module, _)| *module == name);
            if is_module && name != module && !allowed.contains(&name.as_str()) {
                found.push(format!("src/{}: {module} uses {name}", source.path.display()));
            }
        }
    }
    assert_none(found, "these uses are not in the table");
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
    let found = outside
        .flat_map(|source| source.lines_with(&["unsafe", "libc::", "rustix::", "io_uring::"]).collect::<Vec<_>>());
    assert_none(found.collect(), "unsafe, libc, rustix and io_uring belong in src/sys");
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    let mut found = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in source.code().filter(|(_, line)| contains(line, "unsafe {")) {
            let said = lines[..number - 1].iter().rev().take_while(|line| line.trim_start().starts_with("//"));
            if !said.into_iter().any(|line| line.contains("SAFETY:")) {
                found.push(format!("src/{}:{number}: {}", source.path.display(), line.trim()));
            }
        }
    }
    assert_none(found, "these unsafe blocks have no SAFETY: line above them");
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
