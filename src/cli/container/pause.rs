//! `overfuse pause` and `overfuse unpause`: stop all processes of a container, and let them go on.

use anyhow::{Context, Result, bail};
use clap::Args;

use super::each;
use crate::cli::{Exit, Global, root};
use crate::container::{Cgroup, State, Status};
use crate::store::{Container, Store};

/// Stop all processes of containers until `unpause`
#[derive(Debug, Args)]
pub(in crate::cli) struct PauseArgs {
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Let the processes of paused containers go on
#[derive(Debug, Args)]
pub(in crate::cli) struct UnpauseArgs {
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(in crate::cli) fn pause(global: &Global, args: &PauseArgs) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    each::each(&args.containers, |name| {
        let (container, state) = find(&store, name)?;
        if state.status == Status::Paused {
            bail!("container {} is already paused", container.name);
        }
        let freeze = |cgroup: Cgroup| cgroup.freeze();
        state.cgroup(&container).and_then(freeze).with_context(|| format!("cannot pause container {}", container.name))
    })
}

pub(in crate::cli) fn unpause(global: &Global, args: &UnpauseArgs) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    each::each(&args.containers, |name| {
        let (container, state) = find(&store, name)?;
        if state.status != Status::Paused {
            bail!("container {} is not paused", container.name);
        }
        let thaw = |cgroup: Cgroup| cgroup.thaw();
        state.cgroup(&container).and_then(thaw).with_context(|| format!("cannot unpause container {}", container.name))
    })
}

/// A container with a process.
fn find(store: &Store, name: &str) -> Result<(Container, State)> {
    let container = store.container(name)?;
    let state = State::of(&container)?;
    if !matches!(state.status, Status::Running | Status::Paused) {
        bail!("container {} is not running", container.name);
    }
    Ok((container, state))
}
