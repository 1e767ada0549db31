//! `overfuse wait`: waits for the end of containers, and prints their exit codes.

use anyhow::{Result, bail};
use clap::Args;

use super::each;
use crate::cli::{Exit, Global, root};
use crate::container::{Control, State};

/// Wait until containers have ended, and print their exit codes
#[derive(Debug, Args)]
pub(in crate::cli) struct WaitArgs {
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(in crate::cli) fn run(global: &Global, args: &WaitArgs) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    each::each_printing(&args.containers, |name| {
        let container = store.container(name)?;
        if let Some(control) = Control::of(&container)? {
            control.wait()?;
            if let Some(exit_code) = control.ended()? {
                return Ok(exit_code.to_string());
            }
        }
        // Its exit code was removed with it.
        if !container.dir().exists() {
            bail!("container {} was removed when it ended", container.name);
        }
        Ok(State::without_monitor(&container)?.exit_code.unwrap_or(0).to_string())
    })
}
