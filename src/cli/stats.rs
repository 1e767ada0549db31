//! `overfuse stats`: what containers use, or a mount's counters of requests, system calls and threads.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;

use super::container::usage;
use super::format::{self, Format};
use super::output::{self, Table};
use super::{Exit, Global, root};
use crate::fuse;

/// Show what containers use, or how many requests the kernel sent to a mount
///
/// Of a container: CPU time, memory, network, block I/O and processes, every second until interrupted. Of a mount: how many
/// requests came, and how many system calls and threads these took.
#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    /// Show containers that do not run, too
    #[arg(short, long)]
    all: bool,
    /// Print once and end
    #[arg(long)]
    no_stream: bool,
    /// Do not shorten IDs
    #[arg(long)]
    no_trunc: bool,
    #[arg(long, value_name = "FORMAT", default_value = "table", help = format::HELP)]
    format: Format,
    /// Of a mount: print one JSON object
    #[arg(long)]
    json: bool,
    /// Containers, or one mount point [default: all containers that run]
    ///
    /// A path with a slash is a mount point, as is a directory whose name no container has.
    #[arg(value_name = "CONTAINER|DIR")]
    names: Vec<String>,
}

pub(super) fn run(global: &Global, args: &StatsArgs) -> anyhow::Result<Exit> {
    if let [name] = &args.names[..]
        && (args.json || is_mount(global, name))
    {
        return of_mount(Path::new(name), args.json);
    }
    if args.json {
        bail!("--json is for one mount; for containers, there is --format json");
    }
    let options = usage::Options {
        names: &args.names,
        all: args.all,
        no_stream: args.no_stream,
        no_trunc: args.no_trunc,
        format: args.format.clone(),
        screen: io::stdout().is_terminal(),
    };
    usage::run(global, &options)
}

/// Whether a name is meant as a mount point.
fn is_mount(global: &Global, name: &str) -> bool {
    let is_container = || root::open_to_read(global).is_ok_and(|store| store.container(name).is_ok());
    name.contains('/') || (Path::new(name).exists() && !is_container())
}

fn of_mount(dir: &Path, as_json: bool) -> anyhow::Result<Exit> {
    let stats = fuse::stats(dir).with_context(|| format!("{}", dir.display()))?;
    if as_json {
        output::print(&format!("{}\n", serde_json::to_string(&stats)?))?;
        return Ok(Exit::Success);
    }
    let request = if stats.io_uring { "REQUEST BY IO_URING" } else { "REQUEST" };
    let mut threads = Table::new(&["THREADS", "COUNT"]);
    threads.row(["now".into(), stats.threads.to_string()]);
    threads.row(["most at once".into(), stats.threads_most.to_string()]);
    let tables = [table(request, &stats.requests), table("SYSTEM CALL", &stats.syscalls), threads.render()];
    output::print(&tables.join("\n"))?;
    Ok(Exit::Success)
}

/// A table of counts, highest first.
fn table(what: &str, counts: &BTreeMap<String, u64>) -> String {
    let mut table = Table::new(&[what, "COUNT"]);
    let mut rows: Vec<_> = counts.iter().collect();
    rows.sort_by_key(|(name, count)| (u64::MAX - **count, name.as_str()));
    for (name, count) in rows {
        table.row([name.clone(), count.to_string()]);
    }
    table.render()
}
