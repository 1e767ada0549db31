//! `overfuse volume rm`: removes volumes and everything in them.

use anyhow::Result;
use clap::Args;

use crate::cli::{Exit, Global, exit, output, root};
use crate::store::StoreError;

/// Remove volumes and everything in them
///
/// A volume that a container uses stays, also when the container does not run.
#[derive(Debug, Args)]
pub(in crate::cli) struct RmArgs {
    /// A volume that does not exist is no error
    #[arg(long, short)]
    force: bool,
    /// Names of volumes
    #[arg(required = true, value_name = "VOLUME")]
    volumes: Vec<String>,
}

/// Removes every volume that can be removed, and prints for each other one why not.
pub(in crate::cli) fn run(global: &Global, args: &RmArgs) -> Result<Exit> {
    let store = root::open(global)?;
    let mut code = Exit::Success;
    for name in &args.volumes {
        match store.remove_volume(name) {
            Ok(()) => output::print(&format!("{name}\n"))?,
            Err(StoreError::UnknownVolume { .. }) if args.force => {}
            Err(error) => {
                exit::report(&error.into());
                code = Exit::Failure;
            }
        }
    }
    Ok(code)
}
