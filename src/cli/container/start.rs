//! `overfuse start`: runs containers that have ended or were only created.

use std::path::Path;

use anyhow::{Result, bail};
use clap::Args;

use super::foreground::{self, AttachArgs};
use super::{each, network, protect};
use crate::cli::{Exit, Global, root};
use crate::container::{Control, Job, Settings, Starter, host_window};
use crate::store::{Container, Store};

/// Start containers that are not running, with the changes that they made
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  overfuse start web
  overfuse start -ai work")]
pub(in crate::cli) struct StartArgs {
    /// Show the output, pass signals on, and end with the command's exit code
    #[arg(long, short)]
    attach: bool,
    /// Pass standard input to the command, if the container was made with -i; includes --attach
    #[arg(long, short)]
    interactive: bool,
    #[command(flatten)]
    options: AttachArgs,
    /// Names or IDs
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(in crate::cli) fn run(global: &Global, args: &StartArgs) -> Result<Exit> {
    protect::protect()?;
    let path = root::path(global)?;
    let store = Store::open(&path)?;
    if !args.attach && !args.interactive {
        return each::each(&args.containers, |name| start(&path, &store.container(name)?));
    }
    let [name] = args.containers.as_slice() else {
        bail!("only one container can be attached: leave out -a and -i, or name one");
    };
    let container = store.container(name)?;
    let settings = Settings::of(&container)?;
    let attach = args.options.attach(args.interactive && settings.interactive);
    if let Some(control) = Control::of(&container)? {
        return foreground::relay(control.attach(attach));
    }
    let window = if settings.wishes.terminal { host_window() } else { None };
    let control = begin(&path, &container, Starter { attached: true, input: attach.input, window })?;
    foreground::relay(control.relay(attach))
}

/// Starts a container in the background, and waits until its command runs. Does nothing if it runs already.
pub(super) fn start(root: &Path, container: &Container) -> Result<()> {
    if Control::of(container)?.is_none() {
        begin(root, container, Starter::default())?.started()?;
    }
    Ok(())
}

/// Forks a monitor for a container that has none.
fn begin(root: &Path, container: &Container, starter: Starter) -> Result<Control> {
    let prepare = || job(root, container).map_err(|error| format!("{error:#}"));
    Ok(Control::start(starter, prepare)?)
}

fn job(root: &Path, container: &Container) -> Result<Job> {
    let settings = Settings::of(container)?;
    let privilege = super::create::enter(&settings, root)?;
    let store = Store::open(root)?;
    let image = store.image(&container.image.to_string())?;
    let in_use = container.lock()?;
    let programs = network::programs();
    Ok(Job { store, image, container: container.clone(), in_use, settings, privilege, programs })
}
