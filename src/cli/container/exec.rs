//! `overfuse exec`: runs another command in a container that runs.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use super::options::EnvironmentArgs;
use super::protect;
use crate::cli::{Exit, Global, root};
use crate::container::{self, DetachKeys, Exec, ExecError, Executed, LaunchError};

/// Run a command in a running container
///
/// The command has the container's files, network, environment and rights. It ends with the container.
#[derive(Debug, Args)]
#[command(override_usage = "overfuse exec [OPTIONS] CONTAINER COMMAND [ARG]...")]
#[command(after_help = "\
Examples:
  overfuse exec -it web sh
  overfuse exec -u app -w /srv -e LANG=C web ls -l

The exit code is the command's; 127 when it does not exist, 126 when it cannot be executed, 125 when exec itself fails.")]
pub(in crate::cli) struct ExecArgs {
    /// Return when the command has started; its output is dropped
    #[arg(short, long)]
    detach: bool,
    /// Pass standard input to the command
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Keys that detach from the command's terminal, as in ctrl-p,ctrl-q; empty: none [default: ctrl-p,ctrl-q]
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<DetachKeys>,
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// Working directory; must exist [default: the container's]
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    /// Run as this user and group: names from the container's /etc/passwd and /etc/group, or numbers [default: the
    /// container's]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Give the command every capability, and do not filter its system calls
    #[arg(long)]
    privileged: bool,
    /// The container, by name or ID; then the command and its arguments
    #[arg(required = true, num_args = 2.., trailing_var_arg = true, value_names = ["CONTAINER", "COMMAND"])]
    container_and_command: Vec<OsString>,
}

pub(in crate::cli) fn run(global: &Global, args: &ExecArgs) -> Result<Exit> {
    let [name, command @ ..] = args.container_and_command.as_slice() else { bail!("no container is named") };
    if args.interactive && args.tty && !args.detach && !io::stdin().is_terminal() {
        bail!("standard input is not a terminal: leave out -t, or -i");
    }
    let exec = Exec {
        command: command.to_vec(),
        env: args.environment.changes()?,
        workdir: args.workdir.clone(),
        user: args.user.clone(),
        terminal: args.tty,
        interactive: args.interactive && !args.detach,
        detach_keys: args.detach_keys.clone().unwrap_or_default(),
        detached: args.detach,
        privileged: args.privileged,
    };
    protect::protect()?;
    let store = root::open_to_read(global)?;
    let container = store.container(&name.to_string_lossy())?;
    let image = store.image(&container.image.to_string())?;
    match container::exec(&container, image.config.config().as_ref(), &exec) {
        Ok(Executed::Ended(status)) => Ok(Exit::Process(status.code())),
        Ok(Executed::Detached) => Ok(Exit::Success),
        Err(error) => exit_without_status(error),
    }
}

/// The exit code when the command is missing or does not start: docker has a code for each.
fn exit_without_status(error: ExecError) -> Result<Exit> {
    let exit = match &error {
        ExecError::Launch(LaunchError::NotFound { .. }) => Exit::NotFound,
        ExecError::Launch(LaunchError::CannotExecute { .. }) => Exit::CannotRun,
        _ => return Err(error.into()),
    };
    eprintln!("overfuse: {:#}", anyhow::Error::from(error));
    Ok(exit)
}
