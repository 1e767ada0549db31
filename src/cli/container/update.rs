//! `overfuse update`: changes the limits and the restart policy of containers, also while they run.

use anyhow::{Result, bail};
use clap::Args;

use super::each;
use super::options::LimitArgs;
use crate::cli::{Exit, Global, root};
use crate::container::{Limits, RestartPolicy, SETTINGS, Settings, State, Status};
use crate::store::{Container, StoreError};
use crate::sys;

/// Change the limits and the restart policy of containers
///
/// A running container gets the new limits at once, another one at its next start.
#[derive(Debug, Args)]
pub(in crate::cli) struct UpdateArgs {
    #[command(flatten)]
    limits: LimitArgs,
    /// Start the container again when it ends: no, on-failure[:N], always or unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<RestartPolicy>,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(in crate::cli) fn run(global: &Global, args: &UpdateArgs) -> Result<Exit> {
    let limits = args.limits.unchecked();
    if limits == Limits::default() && args.restart.is_none() {
        bail!("nothing to change: name a limit or --restart");
    }
    let store = root::open_to_read(global)?;
    each::each(&args.containers, |name| {
        let container = store.container(name)?;
        let mut settings = Settings::of(&container)?;
        if settings.auto_remove && args.restart.is_some_and(|policy| policy != RestartPolicy::No) {
            bail!("container {} is removed when it ends (--rm), so it cannot start again", container.name);
        }
        settings.life.restart = args.restart.unwrap_or(settings.life.restart);
        settings.resources.limits = settings.resources.limits.changed_by(&limits);
        settings.resources.limits.check(sys::usable_cpus())?;
        if limits != Limits::default() {
            apply(&container, &settings)?;
        }
        container.write_document(SETTINGS, &settings).map_err(|error: StoreError| error.into())
    })
}

/// Sets the limits of a container that runs.
fn apply(container: &Container, settings: &Settings) -> Result<()> {
    let state = State::of(container)?;
    if matches!(state.status, Status::Running | Status::Paused) {
        state.cgroup(container)?.set(&settings.resources.limits)?;
    }
    Ok(())
}
