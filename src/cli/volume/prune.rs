//! `overfuse volume prune`: removes the volumes that no container uses.

use anyhow::Result;
use clap::Args;

use super::labels;
use crate::cli::confirm::confirm;
use crate::cli::filter::{Filter, Filters};
use crate::cli::{Exit, Global, exit, output, root};
use crate::store::StoreError;

/// Remove anonymous volumes that no container uses
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  overfuse volume prune --all --force --filter label!=keep")]
pub(in crate::cli) struct PruneArgs {
    /// Remove named volumes too
    #[arg(long, short)]
    all: bool,
    /// Do not ask
    #[arg(long, short)]
    force: bool,
    /// Only volumes that fit: label=NAME[=VALUE], label!=NAME[=VALUE], all=true (as --all)
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
}

pub(in crate::cli) fn run(global: &Global, args: &PruneArgs) -> Result<Exit> {
    let filters = Filters::new(&args.filter, &["label", "label!", "all"])?;
    let all = args.all || filters.truth("all")? == Some(true);
    let which = if all { "all" } else { "anonymous" };
    if !args.force && !confirm(&format!("This will remove {which} volumes that no container uses."))? {
        return Ok(Exit::Success);
    }
    let store = root::open(global)?;
    let mut code = Exit::Success;
    let (mut removed, mut bytes) = (Vec::new(), 0u64);
    for volume in store.volumes()? {
        if !(all || volume.anonymous) || !filters.label(&labels(&volume)) {
            continue;
        }
        let size = store.volume_bytes(&volume).unwrap_or(0);
        match store.remove_volume(&volume.name) {
            Ok(()) => {
                removed.push(volume.name);
                bytes = bytes.saturating_add(size);
            }
            // In use, or somebody else removed it meanwhile.
            Err(StoreError::VolumeInUse { .. } | StoreError::UnknownVolume { .. }) => {}
            Err(error) => {
                exit::report(&error.into());
                code = Exit::Failure;
            }
        }
    }
    if !removed.is_empty() {
        output::print(&format!("Deleted Volumes:\n{}\n\n", removed.join("\n")))?;
    }
    output::print(&format!("Total reclaimed space: {}\n", output::size(bytes)))?;
    Ok(code)
}
