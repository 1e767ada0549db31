//! What is measured: one file for each group of workloads, and the list of all of them.
//!
//! A workload says, for a scale, which trees it needs and what it does there; what it does is a function of a
//! [`Clock`], which it gives its parts to. The loops themselves are functions of paths, for whoever wants to time them
//! otherwise.

pub mod copy_up;
pub mod io;
pub mod lookup;
pub mod metadata;
pub mod mixes;
pub mod readdir;
pub mod start;
pub mod walk;

use std::io::Result as Done;

use super::clock::Clock;
use super::result::Parameters;
use super::tree::Tree;
use super::worker::Work;

/// How much is to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Layers of a stack.
    pub layers: u32,
    /// At most so many layers, where a curve is drawn over them.
    pub layers_most: u32,
    /// Files of a tree.
    pub files: u64,
    /// At most so many names of a directory, where a curve is drawn over them.
    pub files_most: u64,
    /// At most so large a file, in bytes.
    pub size: u64,
}

/// Something to be measured.
pub struct Workload {
    pub name: &'static str,
    pub group: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Its rows, each with what is timed.
    pub rows: &'static [(&'static str, &'static str)],
    /// Whether it is done when none is named: by default, and when it has to be quick.
    pub when: When,
    sessions: fn(&Scale) -> Vec<Session>,
}

/// When a workload is done without being named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    Named,
    Default,
    Quick,
}

/// One mount's worth of a workload.
pub struct Session {
    pub tree: Tree,
    /// The work changes the tree.
    pub changes: bool,
    /// Bytes that the work writes, about.
    pub writes: u64,
    pub work: Box<Work>,
}

impl Session {
    fn reads(tree: Tree, work: impl Fn(&mut Clock<'_>) -> Done<()> + 'static) -> Session {
        Session { tree, changes: false, writes: 0, work: Box::new(work) }
    }

    fn changes(tree: Tree, writes: u64, work: impl Fn(&mut Clock<'_>) -> Done<()> + 'static) -> Session {
        Session { tree, changes: true, writes, work: Box::new(work) }
    }
}

/// A workload, with those of its rows that are wanted.
#[derive(Clone, Debug)]
pub struct Selected {
    pub workload: &'static Workload,
    /// All of them when this is empty.
    rows: Vec<String>,
}

impl Selected {
    pub fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted == row)
    }
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workload").field("name", &self.name).field("group", &self.group).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("tree", &self.tree).field("changes", &self.changes).finish_non_exhaustive()
    }
}

impl Workload {
    pub(super) fn sessions(&self, scale: &Scale) -> Vec<Session> {
        (self.sessions)(scale)
    }

    /// What is timed in the row of that name.
    pub fn about_row(&self, row: &str) -> &'static str {
        self.rows.iter().find(|(name, _)| *name == row).map_or(self.about, |(_, about)| about)
    }
}

/// Everything that can be measured, in the order of the reports.
pub const ALL: &[&[Workload]] = &[
    copy_up::WORKLOADS,
    metadata::WORKLOADS,
    lookup::WORKLOADS,
    readdir::WORKLOADS,
    walk::WORKLOADS,
    io::WORKLOADS,
    mixes::WORKLOADS,
    start::WORKLOADS,
];

/// All workloads, one after the other.
pub fn all() -> impl Iterator<Item = &'static Workload> {
    ALL.iter().copied().flatten()
}

/// Those that are done when none is named.
pub fn unnamed(when: When) -> Vec<Selected> {
    all().filter(|workload| workload.when >= when).map(|workload| Selected { workload, rows: Vec::new() }).collect()
}

/// Those that `names` name, by a group, a workload or a row, each once.
///
/// # Errors
/// The first name that is none of these.
pub fn named(names: &[String]) -> Result<Vec<Selected>, &str> {
    let is_known =
        |name: &str| all().any(|w| w.group == name || w.name == name || w.rows.iter().any(|(row, _)| *row == name));
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        return Err(unknown);
    }
    let select = |workload: &'static Workload| {
        let whole = names.iter().any(|name| workload.group == name || workload.name == name);
        let rows = names.iter().filter(|name| workload.rows.iter().any(|(row, _)| row == name));
        let rows: Vec<String> = if whole { Vec::new() } else { rows.cloned().collect() };
        (whole || !rows.is_empty()).then_some(Selected { workload, rows })
    };
    Ok(all().filter_map(select).collect())
}

/// Every name that [`named`] knows.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for workload in all() {
        let own = [workload.group, workload.name].into_iter().chain(workload.rows.iter().map(|(row, _)| *row));
        for name in own {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// Those of `points` that are not above `most`; and `most` itself, where a curve ends.
fn points(points: &[u64], most: u64) -> Vec<u64> {
    let below = points.iter().copied().filter(|point| *point < most);
    below.chain([most]).collect()
}

/// The parameters of a tree of many files.
fn of(layers: u32, files: u64) -> Parameters {
    Parameters { layers: Some(layers), files: Some(files), ..Parameters::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_one_workload_and_every_name_one_meaning() {
        let rows: Vec<&str> = all().flat_map(|workload| workload.rows.iter().map(|(row, _)| *row)).collect();
        for (n, row) in rows.iter().enumerate() {
            assert!(!rows[..n].contains(row), "{row} is a row twice");
        }
        for workload in all() {
            assert!(!workload.rows.is_empty(), "{}", workload.name);
            let others = all().filter(|other| other.name == workload.name);
            assert_eq!(others.count(), 1, "{} is a workload twice", workload.name);
        }
    }

    #[test]
    fn workloads_are_found_by_group_by_name_and_by_row() {
        let found = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            named(&names).map_err(str::to_owned).map(|all| {
                all.iter().map(|s| (s.workload.name, s.wants("stat-first"), s.wants("stat-again"))).collect::<Vec<_>>()
            })
        };
        assert_eq!(found(&["stat-again"]), Ok(vec![("stat", false, true)]));
        assert_eq!(found(&["stat", "stat-again"]), Ok(vec![("stat", true, true)]));
        assert!(found(&["lookup"]).is_ok_and(|all| all.len() > 1));
        assert_eq!(found(&["stat", "nonsense"]), Err("nonsense".into()));
    }
}
