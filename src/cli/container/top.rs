//! `overfuse top`: lists the processes of a running container.

use std::collections::HashSet;
use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cli::output::{self, Table};
use crate::cli::{Exit, Global, root};
use crate::container;

/// List the processes of a running container
///
/// They are shown as this host sees them, by this host's ps; the container needs none.
#[derive(Debug, Args)]
#[command(override_usage = "overfuse top CONTAINER [PS-OPTION]...")]
#[command(after_help = "\
Examples:
  overfuse top web
  overfuse top web -o pid,user,rss,args")]
pub(in crate::cli) struct TopArgs {
    /// The container, by name or ID; then options of ps [default: -ef]
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_names = ["CONTAINER", "PS-OPTION"])]
    container_and_options: Vec<OsString>,
}

pub(in crate::cli) fn run(global: &Global, args: &TopArgs) -> Result<Exit> {
    let [name, options @ ..] = args.container_and_options.as_slice() else { bail!("no container is named") };
    let store = root::open_to_read(global)?;
    let container = store.container(&name.to_string_lossy())?;
    let processes: HashSet<u32> = container::processes(&container)?.into_iter().collect();
    let mut ps = Command::new("ps");
    if options.is_empty() {
        ps.arg("-ef");
    } else {
        // Many forms of ps show the processes of a terminal alone.
        ps.args(options);
    }
    let output = ps.output().context("cannot run ps, which this host needs for top")?;
    if !output.status.success() {
        bail!("ps: {}", String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("it failed").trim());
    }
    let table = table(&String::from_utf8_lossy(&output.stdout), &processes)?;
    output::print(&table.render())?;
    Ok(Exit::Success)
}

/// The rows of these processes in the output of ps.
fn table(listed: &str, processes: &HashSet<u32>) -> Result<Table> {
    let mut lines = listed.lines();
    let titles: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let Some(column) = titles.iter().position(|title| *title == "PID") else {
        bail!("ps shows no column PID: add it to its options");
    };
    let mut table = Table::new(&titles);
    for line in lines {
        let cells = cells(line, titles.len());
        if cells.get(column).and_then(|pid| pid.parse().ok()).is_some_and(|pid| processes.contains(&pid)) {
            table.row(cells.into_iter().map(str::to_owned));
        }
    }
    Ok(table)
}

/// Splits a line into at most `count` words; the last one, usually a command, has spaces in it.
fn cells(line: &str, count: usize) -> Vec<&str> {
    let mut cells = Vec::new();
    let mut rest = line.trim();
    while cells.len() + 1 < count
        && let Some((cell, after)) = rest.split_once(char::is_whitespace)
    {
        cells.push(cell);
        rest = after.trim_start();
    }
    cells.push(rest);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_of_the_container_are_shown() {
        let listed = "UID    PID  PPID CMD\nroot     1     0 init 7\nroot     7     1 sleep  10\n   8   70     7 sh\n";
        let shown = table(listed, &HashSet::from([7, 70])).unwrap().render();
        assert_eq!(shown, "UID    PID   PPID   CMD\nroot   7     1      sleep  10\n8      70    7      sh\n");
        assert!(table("USER CMD\n", &HashSet::new()).is_err());
    }
}
