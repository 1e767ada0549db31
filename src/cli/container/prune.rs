//! `overfuse container prune`: removes all containers that do not run.

use anyhow::Result;
use clap::Args;

use super::seen::{Images, Seen};
use super::select::Selection;
use crate::cli::confirm::confirm;
use crate::cli::filter::Filter;
use crate::cli::{Exit, Global, output, root};
use crate::store::StoreError;

/// Remove all containers that neither run nor are mounted
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  overfuse container prune --force --filter until=24h --filter label!=keep")]
pub(in crate::cli) struct PruneArgs {
    /// Do not ask
    #[arg(long, short)]
    force: bool,
    /// Only containers that fit: until=TIME (made before then: 24h, 2024-01-31), label=NAME[=VALUE], label!=NAME[=VALUE]
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
}

pub(in crate::cli) fn run(global: &Global, args: &PruneArgs) -> Result<Exit> {
    if !args.force && !confirm("This will remove all stopped containers.")? {
        return Ok(Exit::Success);
    }
    let store = root::open(global)?;
    let selection = Selection::for_prune(&args.filter)?;
    let images = Images::new(&store)?;
    let mut exit = Exit::Success;
    let (mut removed, mut bytes) = (Vec::new(), 0u64);
    for seen in Seen::all(&store, &images)? {
        if seen.life.in_use || !selection.fits(&seen, &images)? {
            continue;
        }
        let size = store.container_bytes(&seen.container).unwrap_or(0);
        match store.remove_container(&seen.container) {
            Ok(()) => {
                removed.push(seen.container.id);
                bytes = bytes.saturating_add(size);
            }
            // Somebody started it meanwhile.
            Err(StoreError::ContainerInUse { .. } | StoreError::Mounted { .. }) => {}
            Err(error) => {
                crate::cli::exit::report(&error.into());
                exit = Exit::Failure;
            }
        }
    }
    if !removed.is_empty() {
        output::print(&format!("Deleted Containers:\n{}\n\n", removed.join("\n")))?;
    }
    output::print(&format!("Total reclaimed space: {}\n", output::size(bytes)))?;
    Ok(exit)
}
