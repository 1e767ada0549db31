//! `overfuse stop`: ends containers by their stop signal, and then by SIGKILL.

use anyhow::Result;
use clap::Args;

use super::each;
use super::options::signal;
use crate::cli::{Exit, Global, root};
use crate::container::{Control, State, Status};
use crate::store::Container;

/// How a container is ended.
#[derive(Debug, Args)]
pub(super) struct HowArgs {
    /// Seconds until SIGKILL; -1: never [default: the container's, 10 if none is set]
    #[arg(long, short, visible_alias = "timeout", value_name = "SECONDS", allow_negative_numbers = true)]
    pub(super) time: Option<i64>,
    /// The signal to send first
    #[arg(long, short, value_name = "SIGNAL", value_parser = signal)]
    pub(super) signal: Option<i32>,
}

/// Stop containers: send the stop signal, and SIGKILL to what is left later
///
/// The stop signal is SIGTERM, or what the image or `--stop-signal` says. One that is not running is left as it is.
#[derive(Debug, Args)]
pub(in crate::cli) struct StopArgs {
    #[command(flatten)]
    how: HowArgs,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(in crate::cli) fn run(global: &Global, args: &StopArgs) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    // All get the signal before the first is waited for.
    let stopping =
        args.containers.iter().map(|name| begin(&store.container(name)?, args.how.signal, args.how.time, false));
    let mut stopping = stopping.collect::<Vec<_>>().into_iter();
    each::each(&args.containers, |_| match stopping.next() {
        Some(stopping) => end(stopping?),
        None => Ok(()),
    })
}

/// Begins to stop a container; `None` if it does not run.
pub(super) fn begin(
    container: &Container,
    signal: Option<i32>,
    seconds: Option<i64>,
    keep: bool,
) -> Result<Option<Control>> {
    let control = Control::of(container)?;
    if let Some(control) = &control {
        control.stop(signal, seconds, keep)?;
    } else if State::of(container)?.status == Status::Mounted {
        anyhow::bail!("container {} {}", container.name, each::state_words(container)?);
    }
    Ok(control)
}

/// Waits until the container has ended.
pub(super) fn end(stopping: Option<Control>) -> Result<()> {
    if let Some(control) = stopping {
        control.ended()?;
    }
    Ok(())
}
