//! `overfuse create`: makes a container without starting it.

use anyhow::Result;
use clap::Args;

use super::create::CreateArgs;
use super::network;
use crate::cli::{Exit, Global, output, root};
use crate::container::sweep;

/// Create a container that `overfuse start` starts, and print its ID
///
/// Flags end at IMAGE: what follows is the container's command.
#[derive(Debug, Args)]
#[command(override_usage = "overfuse create [OPTIONS] IMAGE [COMMAND [ARG]...]")]
pub(in crate::cli) struct NewArgs {
    #[command(flatten)]
    create: CreateArgs,
}

pub(in crate::cli) fn run(global: &Global, args: &NewArgs) -> Result<Exit> {
    let mut settings = args.create.settings()?;
    settings.life.input_once = settings.interactive;
    network::complete(&mut settings, &root::path(global)?)?;
    let store = root::open(global)?;
    sweep(&store)?;
    let image = store.image(&args.create.image().to_string_lossy())?;
    let container = args.create.create(&store, &image, &settings)?;
    output::print(&format!("{}\n", container.id))?;
    Ok(Exit::Success)
}
