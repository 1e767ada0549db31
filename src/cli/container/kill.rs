//! `overfuse kill`: sends a signal to containers.

use anyhow::{Context, Result};
use clap::Args;

use super::each;
use super::options::signal;
use crate::cli::{Exit, Global, root};
use crate::container::Control;

/// Send a signal to the command of running containers
#[derive(Debug, Args)]
pub(in crate::cli) struct KillArgs {
    /// The signal, by name or number
    #[arg(long, short, value_name = "SIGNAL", default_value = "KILL", value_parser = signal)]
    signal: i32,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(in crate::cli) fn run(global: &Global, args: &KillArgs) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    each::each(&args.containers, |name| {
        let container = store.container(name)?;
        let not_running =
            || format!("container {} {}", container.name, each::state_words(&container).unwrap_or_default());
        let control = Control::of(&container)?.with_context(not_running)?;
        Ok(control.kill(args.signal)?)
    })
}
