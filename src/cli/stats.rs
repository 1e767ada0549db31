//! `overfuse stats`: prints a mount's counters of requests, system calls and threads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::output::{self, Table};
use super::{Exit, Global};
use crate::fuse;

/// Show how many requests the kernel sent to a mount, and how many system calls and threads these took
#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The mount point
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(super) fn run(_global: &Global, args: &StatsArgs) -> anyhow::Result<Exit> {
    let stats = fuse::stats(&args.dir).with_context(|| format!("{}", args.dir.display()))?;
    if args.json {
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
