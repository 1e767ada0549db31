//! `overfuse restart`: stops containers and starts them again.

use anyhow::Result;
use clap::Args;

use super::options::signal;
use super::{each, protect, start, stop};
use crate::cli::{Exit, Global, root};
use crate::store::Store;

/// Stop containers and start them again; start those that are not running
#[derive(Debug, Args)]
pub(in crate::cli) struct RestartArgs {
    /// Seconds until SIGKILL; -1: never [default: the container's, 10 if none is set]
    #[arg(long, short, visible_alias = "timeout", value_name = "SECONDS", allow_negative_numbers = true)]
    time: Option<i64>,
    /// The signal to send first
    #[arg(long, short, value_name = "SIGNAL", value_parser = signal)]
    signal: Option<i32>,
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
        stop::end(stop::begin(&container, args.signal, args.time, true)?)?;
        start::start(&path, &container)
    })
}
