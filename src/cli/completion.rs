//! `overfuse completion`: prints the completion script of a shell.

use clap::Args;
use clap_complete::Shell;

use super::{Exit, Global, output};

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
    // Written to memory first: clap_complete panics when the reader of a pipe is gone.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "overfuse", &mut script);
    output::print(&String::from_utf8(script)?)?;
    Ok(Exit::Success)
}
