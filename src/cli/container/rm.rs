//! `overfuse rm`: removes containers and their changes.

use anyhow::Result;
use clap::Args;

use crate::cli::{Exit, Global, output, root};

/// Remove containers and their changes
#[derive(Debug, Args)]
pub(in crate::cli) struct RmArgs {
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Removes every container that can be removed, and prints for each other one why not.
pub(in crate::cli) fn run(global: &Global, args: &RmArgs) -> Result<Exit> {
    let store = root::open(global)?;
    let mut exit = Exit::Success;
    for name in &args.containers {
        let removed = store.container(name).and_then(|container| store.remove_container(&container));
        match removed {
            Ok(()) => output::print(&format!("{name}\n"))?,
            Err(error) => {
                eprintln!("overfuse: {:#}", anyhow::Error::from(error));
                exit = Exit::Failure;
            }
        }
    }
    Ok(exit)
}
