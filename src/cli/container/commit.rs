//! `overfuse commit`: makes a new image of a container: its image's layers, and one layer with its changes.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::cli::{Exit, Global, output, root};
use crate::image::{Change, Compression, Reference};
use crate::store::Commit;

/// Make an image of a container: its image, and one more layer with the container's changes.
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
    let store = root::open(global)?;
    let container = store.container(&args.container)?;
    let in_use = container.lock().context("a container in use cannot be committed")?;
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
    let image = store.commit_container(&container, &in_use, &commit)?;
    output::print(&format!("{}\n", image.id))?;
    Ok(Exit::Success)
}

/// The history entry of the new layer: the container's command, or `mount` where no command ran in it.
fn created_by(command: &[String]) -> String {
    if command.is_empty() { "overfuse mount --writable".into() } else { command.join(" ") }
}
