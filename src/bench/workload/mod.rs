//! The workloads: one file for each group, and the list of all of them.
//!
//! For a [`Scale`], a workload returns sessions: a tree, and the work to do on it. The work is a function that gets a
//! [`Clock`] and times its parts with it. The loops themselves are public functions of paths, so that other code
//! (`benches/`) can time them.

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

/// The size of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// The number of layers of a stack.
    pub layers: u32,
    /// The most layers of a curve over layers.
    pub layers_most: u32,
    /// The number of files of a tree.
    pub files: u64,
    /// The most names in a directory of a curve over names.
    pub files_most: u64,
    /// The maximum size of a file, in bytes.
    pub size: u64,
}

/// A workload: its name, its rows and its sessions.
pub struct Workload {
    /// The name on the command line.
    pub name: &'static str,
    /// The heading that it is listed under.
    pub group: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Its rows: the name, and what is timed.
    pub rows: &'static [(&'static str, &'static str)],
    /// Whether it runs if the user names no workload.
    pub when: When,
    sessions: fn(&Scale) -> Vec<Session>,
}

/// When a workload runs without being named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// The user named it.
    Named,
    /// The user named none.
    Default,
    /// The user wants a short run.
    Quick,
}

/// The part of a workload that is measured in one mount.
pub struct Session {
    /// What it needs to be mounted.
    pub tree: Tree,
    /// The work changes the tree.
    pub changes: bool,
    /// About how many bytes the work writes.
    pub writes: u64,
    /// Does the work once and records samples.
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

/// A workload, with the rows that the user selected.
#[derive(Clone, Debug)]
pub struct Selected {
    /// The workload.
    pub workload: &'static Workload,
    /// The selected rows; empty means all.
    rows: Vec<String>,
}

impl Selected {
    /// Whether the row called `row` is to be measured.
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

    /// What is timed in the row with this name.
    pub fn about_row(&self, row: &str) -> &'static str {
        self.rows.iter().find(|(name, _)| *name == row).map_or(self.about, |(_, about)| about)
    }
}

/// All workloads by group, in the order of the reports.
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

/// The workloads that run if the user names none.
pub fn unnamed(when: When) -> Vec<Selected> {
    all().filter(|workload| workload.when >= when).map(|workload| Selected { workload, rows: Vec::new() }).collect()
}

/// The workloads that `names` select, each once; a name is that of a group, a workload or a row.
///
/// # Errors
/// The first unknown name.
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

/// The points of a curve: those of `points` below `most`, and `most` itself as the last one.
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
