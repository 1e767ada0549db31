//! `overfuse commit`: makes a new image of a container: its image's layers, and one layer with its changes.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{ArgAction, Args, ValueEnum};

use crate::cli::{Exit, Global, output, root};
use crate::container::{Frozen, State, Status};
use crate::image::{Change, Compression, Reference};
use crate::store::{Commit, Container, Meanwhile};
use crate::sys::Dir;

/// Make an image of a container: its image, and one more layer with the container's changes
///
/// A container that runs is paused meanwhile, if its cgroup can be frozen. Otherwise it runs on, with a warning: a file that
/// changes at that moment may be half changed in the image.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  overfuse commit work app:2
  overfuse commit -m 'add flask' -c 'CMD [\"python3\", \"app.py\"]' -c 'ENV LANG=C.UTF-8' work app:2")]
pub(in crate::cli) struct CommitArgs {
    /// The comment that `history` shows
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// Change the configuration with a Containerfile instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL,
    /// USER, VOLUME or WORKDIR
    #[arg(long, short, value_name = "INSTRUCTION")]
    change: Vec<Change>,
    /// Compression of the new layer: every tool reads gzip; zstd is smaller and faster
    #[arg(long, value_enum, default_value_t = LayerCompression::Gzip)]
    compression: LayerCompression,
    /// Pause the container meanwhile; with `true`, fail where that is not possible
    #[arg(long, short, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(action = ArgAction::Set)]
    pause: Option<bool>,
    /// A container, by name or ID
    container: String,
    /// The name of the new image; the default tag is `latest`
    #[arg(value_name = "IMAGE")]
    name: Reference,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LayerCompression {
    Gzip,
    Zstd,
    None,
}

pub(in crate::cli) fn run(global: &Global, args: &CommitArgs) -> Result<Exit> {
    // Before this process enters a user namespace, in which it could not look at the container's processes.
    let running = still(&root::open_to_read(global)?.container(&args.container)?, args.pause)?;
    let store = root::open(global)?;
    let container = store.container(&args.container)?;
    let in_use = match running {
        Some(_) => None,
        None => Some(container.lock().context("a container in use cannot be committed")?),
    };
    let meanwhile = in_use.as_ref().map_or(Meanwhile::Running, Meanwhile::Nobody);
    let commit = Commit {
        name: args.name.clone(),
        message: args.message.as_deref(),
        created_by: &created_by(&container.command),
        changes: &args.change,
        compression: match args.compression {
            LayerCompression::Gzip => Compression::Gzip,
            LayerCompression::Zstd => Compression::Zstd,
            LayerCompression::None => Compression::None,
        },
    };
    let image = store.commit_container(&container, meanwhile, &commit)?;
    drop(running);
    output::print(&format!("{}\n", image.id))?;
    Ok(Exit::Success)
}

/// Makes a running container stand still until the value is dropped, and its mount write back. `None` if it does not run.
fn still(container: &Container, pause: Option<bool>) -> Result<Option<Option<Frozen>>> {
    let state = State::of(container)?;
    let (Status::Running | Status::Paused, Some(process)) = (state.status, state.process) else { return Ok(None) };
    let frozen = match pause {
        Some(false) => None,
        _ => match state.cgroup(container).and_then(|cgroup| cgroup.frozen()) {
            Ok(frozen) => Some(frozen),
            Err(error) if pause.is_some() => {
                return Err(error).with_context(|| format!("cannot pause container {}", container.name));
            }
            Err(error) => {
                eprintln!("overfuse: warning: container {} is not paused: {error}", container.name);
                None
            }
        },
    };
    let files = PathBuf::from(format!("/proc/{}/root", process.pid));
    let written = Dir::open_host(&files).and_then(|root| root.sync_filesystem());
    match written {
        Err(error) if frozen.is_some() => {
            Err(error).with_context(|| format!("cannot write back the files of container {}", container.name))
        }
        // An ordinary user may not look at it from outside. What programs wrote by calls is in the upper already.
        _ => Ok(Some(frozen)),
    }
}

/// The history entry of the new layer: the container's command, or `mount` where no command ran in it.
fn created_by(command: &[String]) -> String {
    if command.is_empty() { "overfuse mount --writable".into() } else { command.join(" ") }
}
