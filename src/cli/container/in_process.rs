//! Runs a container that this process serves itself, without a monitor, to record what it reads.

use std::sync::Arc;

use anyhow::Result;

use super::create::{CreateArgs, enter};
use super::{network, protect};
use crate::cli::{Exit, Global, root};
use crate::container::{self, LaunchError, RunError, Settings, State, Status};
use crate::fuse;
use crate::image::Instant;
use crate::mount::{self, Source};
use crate::privilege::Privilege;
use crate::store::{Container, Image, Store};
use crate::sys::process;
use crate::union::Trace;

/// How to record a container's reads.
#[derive(Debug)]
pub(super) struct Tracing {
    pub(super) trace: Arc<Trace>,
    /// Whether to turn off the kernel's read-ahead, so that only reads of programs are recorded.
    pub(super) exact: bool,
}

/// Runs a container, and removes it afterwards.
pub(super) fn run(global: &Global, args: &CreateArgs, tracing: Tracing) -> Result<Exit> {
    args.check_terminal()?;
    let mut settings = args.settings()?;
    protect::protect()?;
    let root = root::path(global)?;
    network::complete(&mut settings, &root)?;
    let privilege = enter(&settings, &root)?;

    let store = Store::open(&root)?;
    let image = store.image(&args.image().to_string_lossy())?;
    let container = args.create(&store, &image, &settings)?;
    let settings = Settings::of(&container)?;
    let in_use = container.lock()?;
    let ran = Run { settings, privilege, store: &store, image: &image, container: &container, tracing }.run();
    drop(in_use);
    store.remove_container(&container)?;
    store.remove_volumes_of(&container)?;
    match ran {
        Ok(status) => Ok(Exit::Process(status.code())),
        Err(error) => exit_without_status(error),
    }
}

/// The exit code when the command is missing or does not start: docker has a code for each.
fn exit_without_status(error: anyhow::Error) -> Result<Exit> {
    let exit = match error.downcast_ref() {
        Some(RunError::Launch(LaunchError::NotFound { .. })) => Exit::NotFound,
        Some(RunError::Launch(LaunchError::CannotExecute { .. })) => Exit::CannotRun,
        _ => return Err(error),
    };
    eprintln!("overfuse: {error:#}");
    Ok(exit)
}

/// The run, with everything that it needs.
struct Run<'a> {
    settings: Settings,
    privilege: Privilege,
    store: &'a Store,
    image: &'a Image,
    container: &'a Container,
    tracing: Tracing,
}

impl Run<'_> {
    fn run(self) -> Result<process::Status> {
        let container = self.container;
        let process = self.settings.process(self.image.config.config().as_ref(), &container.id)?;
        let files = self.files()?.prepare(self.privilege)?;
        let plan = self.settings.plan(container, process, &network::programs())?;
        let mut running = State { status: Status::Running, started: Some(Instant::now()), ..State::default() };
        let status = container::run(&files, plan, |process| {
            running.process = process;
            if let Err(error) = running.record(container) {
                tracing::warn!(%error, "other commands do not see that the container runs");
            }
        })?;
        let (finished, exit_code) = (Some(Instant::now()), Some(status.code()));
        let ended = State { status: Status::Exited, process: None, finished, exit_code, ..running };
        ended.record(container)?;
        Ok(status)
    }

    fn files(&self) -> Result<mount::Plan<'_>> {
        let (store, image, container) = (self.store, self.image, self.container);
        let source = Source::Container { store, image, container, made_now: false };
        let options = fuse::Options {
            source: Some(container.name.clone()),
            no_read_ahead: self.tracing.exact,
            ..fuse::Options::default()
        };
        let lowest = if self.settings.chroot { None } else { Some(container::skeleton(container.dir())?) };
        let trace = Some(self.tracing.trace.clone());
        Ok(mount::Plan { lowest, trace, ..mount::Plan::new(source, options) })
    }
}
