//! `overfuse run`: runs a command in a new container.

use anyhow::Result;
use clap::Args;

use super::create::CreateArgs;
use super::foreground::{self, AttachArgs};
use super::{network, protect};
use crate::cli::{Exit, Global, output, root};
use crate::container::{Control, Job, Settings, Starter, host_window, sweep};
use crate::store::Store;

/// Run a command in a new container
///
/// Flags end at IMAGE: what follows is the container's command. Keys and signals go to the command, and its exit code is
/// that of this command. The container outlives this command when it is killed or when you detach: `overfuse attach` shows
/// it again.
#[derive(Debug, Args)]
#[command(override_usage = "overfuse run [OPTIONS] IMAGE [COMMAND [ARG]...]")]
#[command(after_help = "\
Examples:
  overfuse run --rm -it alpine
  overfuse run -d --name web --restart on-failure:3 site
  tar c . | overfuse run --rm -i alpine tar t")]
pub(in crate::cli) struct RunArgs {
    /// Run in the background: print the container's ID once the command has started
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    attach: AttachArgs,
    #[command(flatten)]
    create: CreateArgs,
}

pub(in crate::cli) fn run(global: &Global, args: &RunArgs) -> Result<Exit> {
    let mut settings = args.create.settings()?;
    if !args.detach {
        args.create.check_terminal()?;
    }
    settings.life.input_once = settings.interactive && !args.detach;
    protect::protect()?;
    let root = root::path(global)?;
    network::complete(&mut settings, &root)?;
    let starter = Starter {
        attached: !args.detach,
        input: settings.interactive,
        window: if settings.wishes.terminal { host_window() } else { None },
    };
    let attach = args.attach.attach(settings.interactive);
    let prepare = || job(&root, &args.create, settings).map_err(|error| format!("{error:#}"));
    let control = Control::start(starter, prepare)?;
    if !args.detach {
        return foreground::relay(control.relay(attach));
    }
    match control.started() {
        Ok(id) => output::print(&format!("{id}\n")).map(|()| Exit::Success),
        Err(error) => foreground::failed(error),
    }
}

/// Makes the container, in the monitor's process.
fn job(root: &std::path::Path, args: &CreateArgs, settings: Settings) -> Result<Job> {
    let privilege = super::create::enter(&settings, root)?;
    let store = Store::open(root)?;
    sweep(&store)?;
    let image = store.image(&args.image().to_string_lossy())?;
    let container = args.create(&store, &image, &settings)?;
    let settings = Settings::of(&container)?;
    let in_use = container.lock()?;
    Ok(Job { store, image, container, in_use, settings, privilege, programs: network::programs() })
}
