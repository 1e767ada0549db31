//! `overfuse rename`: gives a container another name.

use anyhow::Result;
use clap::Args;

use crate::cli::{Exit, Global, root};

/// Rename a container, running or not
#[derive(Debug, Args)]
pub(in crate::cli) struct RenameArgs {
    /// A container, by name or ID
    container: String,
    /// Its new name
    #[arg(value_name = "NAME")]
    name: String,
}

pub(in crate::cli) fn run(global: &Global, args: &RenameArgs) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    store.rename_container(&store.container(&args.container)?, &args.name)?;
    Ok(Exit::Success)
}
