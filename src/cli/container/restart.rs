//! `overfuse restart`: stops containers and starts them again.

use anyhow::Result;
use clap::Args;

use super::{each, protect, start, stop};
use crate::cli::{Exit, Global, root};
use crate::store::Store;

/// Stop containers and start them again; start those that are not running
#[derive(Debug, Args)]
pub(in crate::cli) struct RestartArgs {
    #[command(flatten)]
    how: stop::HowArgs,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(in crate::cli) fn run(global: &Global, args: &RestartArgs) -> Result<Exit> {
    protect::protect()?;
    let path = root::path(global)?;
    let store = Store::open(&path)?;
    each::each(&args.containers, |name| {
        let container = store.container(name)?;
        stop::end(stop::begin(&container, args.how.signal, args.how.time, true)?)?;
        start::start(&path, &container)
    })
}
