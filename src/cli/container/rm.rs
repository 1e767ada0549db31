//! `overfuse rm`: removes containers and their changes.

use anyhow::{Result, bail};
use clap::Args;

use super::{each, stop};
use crate::cli::{Exit, Global, root};
use crate::container::{Control, State, Status};
use crate::store::{Store, StoreError};
use crate::sys::signal;

/// Remove containers and their changes
#[derive(Debug, Args)]
pub(in crate::cli) struct RmArgs {
    /// Kill those that are running; ignore those that do not exist
    #[arg(long, short)]
    force: bool,
    /// Remove their anonymous volumes as well
    #[arg(long, short)]
    volumes: bool,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Removes every container that can be removed, and prints for each other one why not.
pub(in crate::cli) fn run(global: &Global, args: &RmArgs) -> Result<Exit> {
    let store = root::open(global)?;
    each::each(&args.containers, |name| match remove(&store, name, args) {
        Err(error) if args.force && is_gone(&error) => Ok(()),
        other => other,
    })
}

fn remove(store: &Store, name: &str, &RmArgs { force, volumes, .. }: &RmArgs) -> Result<()> {
    let container = store.container(name)?;
    if force {
        stop::end(stop::begin(&container, Some(signal::KILL), Some(0), false)?)?;
    } else if Control::of(&container)?.is_some() {
        let state = match State::of(&container)?.status {
            Status::Paused => "paused",
            Status::Restarting => "about to start again",
            _ => "running",
        };
        bail!("container {} is {state}: stop it first, or use rm -f", container.name);
    }
    // One that was run with --rm is gone by now.
    match store.remove_container(&container) {
        Err(_) if force && !container.dir().exists() => {}
        other => other?,
    }
    if volumes {
        store.remove_volumes_of(&container)?;
    }
    Ok(())
}

fn is_gone(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::UnknownContainer { .. }))
}
