//! `overfuse cp`: files between the host and a container, which runs or not.

mod files;
mod input;
mod rules;
mod stream;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::exec;
use crate::host::{Host, Started};

/// A container called `box`.
pub(crate) struct Target<'a> {
    pub(crate) host: &'a Host,
    running: Option<Started>,
}

impl std::fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", self.host, if self.running.is_some() { "running" } else { "stopped" })
    }
}

/// Calls `each` with a container that runs, and then with one that is stopped; `script` ran in both.
pub(crate) fn both<'a>(host: &'a Host, script: &str, mut each: impl FnMut(&Target<'a>)) {
    let running = exec::start(host, &[]);
    exec::prints(host, &[], script);
    let one = Target { host, running: Some(running) };
    each(&one);
    one.running.unwrap().end();

    let run = host.overfuse().args(["run", "--name", "box", "tiny", "-c", script]).output().unwrap();
    assert!(run.status.success(), "{host}: {run:?}");
    each(&Target { host, running: None });
    assert!(host.overfuse().args(["rm", "box"]).status().unwrap().success());
}

/// An entry of an archive.
#[derive(Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) kind: char,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    /// The content of a file, the target of a link.
    pub(crate) content: String,
    pub(crate) mtime: u64,
}

/// The entries of an archive, by name.
pub(crate) fn entries(archive: &[u8]) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        if let Some(target) = entry.link_name().unwrap() {
            content = target.to_str().unwrap().to_owned();
        }
        let header = entry.header();
        let kind = header.entry_type().as_byte() as char;
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        let (mode, mtime) = (header.mode().unwrap(), header.mtime().unwrap());
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        entries.insert(name, Entry { kind, mode, owner, content, mtime });
    }
    entries
}

impl Target<'_> {
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.host.overfuse();
        command.arg("cp").args(args);
        command
    }

    pub(crate) fn cp(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn copies(&self, args: &[&str]) {
        let output = self.cp(args);
        assert!(output.status.success() && output.stderr.is_empty(), "{self}: {args:?}: {output:?}");
    }

    #[track_caller]
    pub(crate) fn refuses(&self, args: &[&str], line: &str) {
        let output = self.cp(args);
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("overfuse: {line}\n"), "{self}: {args:?}");
        assert!(!output.status.success(), "{self}: {args:?}");
    }

    /// The archive of a path of the container.
    #[track_caller]
    pub(crate) fn archive(&self, path: &str) -> BTreeMap<String, Entry> {
        let output = self.cp(&[&format!("box:{path}"), "-"]);
        assert!(output.status.success(), "{self}: {path}: {output:?}");
        entries(&output.stdout)
    }

    /// Copies an archive into a directory of the container.
    #[track_caller]
    pub(crate) fn extract(&self, archive: &[u8], args: &[&str]) -> Output {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A refused archive is not read.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), archive);
        child.wait_with_output().unwrap()
    }

    /// The tree below a path of the container, as text.
    #[track_caller]
    pub(crate) fn tree(&self, path: &str) -> String {
        let entries = self.archive(&format!("{path}/."));
        let lines = entries
            .iter()
            .filter(|(name, _)| *name != "./")
            .map(|(name, entry)| line(name, entry.kind, &entry.content));
        lines.collect::<Vec<_>>().join(" ")
    }
}

fn line(name: &str, kind: char, content: &str) -> String {
    match kind {
        '5' => format!("{}/", name.trim_end_matches('/')),
        '2' => format!("{name}->{content}"),
        _ => format!("{name}={content}"),
    }
}

/// The tree below a directory of the host, as [`Target::tree`] shows it.
pub(crate) fn tree(top: &Path) -> String {
    fn into(lines: &mut BTreeMap<String, String>, top: &Path, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            let kind = path.symlink_metadata().unwrap().file_type();
            let text = if kind.is_symlink() {
                line(&name, '2', fs::read_link(&path).unwrap().to_str().unwrap())
            } else if kind.is_dir() {
                into(lines, top, &path);
                line(&name, '5', "")
            } else {
                line(&name, '0', &fs::read_to_string(&path).unwrap())
            };
            lines.insert(name, text);
        }
    }
    let mut lines = BTreeMap::new();
    into(&mut lines, top, top);
    lines.into_values().collect::<Vec<_>>().join(" ")
}
