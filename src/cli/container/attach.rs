//! `overfuse attach`: shows a running container's output, and passes keys and signals to it.

use anyhow::{Context, Result};
use clap::Args;

use super::each;
use super::foreground::{self, AttachArgs};
use crate::cli::{Exit, Global, root};
use crate::container::Control;

/// Attach this terminal to a running container
///
/// Ends with the command's exit code, or when you detach: Control-P, Control-Q in a container's terminal.
#[derive(Debug, Args)]
pub(in crate::cli) struct AttachCommandArgs {
    /// Do not pass standard input to the command
    #[arg(long)]
    no_stdin: bool,
    #[command(flatten)]
    options: AttachArgs,
    /// A container, by name or ID
    container: String,
}

pub(in crate::cli) fn run(global: &Global, args: &AttachCommandArgs) -> Result<Exit> {
    let container = root::open_to_read(global)?.container(&args.container)?;
    let not_running = || format!("container {} {}", container.name, each::state_words(&container).unwrap_or_default());
    let control = Control::of(&container)?.with_context(not_running)?;
    foreground::relay(control.attach(args.options.attach(!args.no_stdin)))
}
