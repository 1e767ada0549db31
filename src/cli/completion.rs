//! `overfuse completion`: prints the completion script of a shell.

use std::io;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit, Global};

/// Print a script that completes overfuse's commands in a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Example, for this session of bash:
  source <(overfuse completion bash)")]
pub(super) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(_global: &Global, args: &CompletionArgs) -> anyhow::Result<Exit> {
    clap_complete::generate(args.shell, &mut Cli::command(), "overfuse", &mut io::stdout());
    Ok(Exit::Success)
}
