//! `overfuse commit`: a container's changes as one more layer, and the whole as a new image.

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::{Exit, Global, output, root};
use crate::image::{Change, Compression, Reference};
use crate::store::Commit;

/// Make an image of a container: its image, and on top what the container changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  overfuse commit work app:2
  overfuse commit -m 'add flask' -c 'CMD [\"python3\", \"app.py\"]' -c 'ENV LANG=C.UTF-8' work app:2")]
pub(super) struct CommitArgs {
    /// What `history` shows as the comment
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// A change of the configuration, as in a Containerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL,
    /// USER, VOLUME or WORKDIR
    #[arg(long, short, value_name = "INSTRUCTION")]
    change: Vec<Change>,
    /// How the new layer is compressed: every tool reads gzip, zstd is smaller and faster
    #[arg(long, value_enum, default_value_t = LayerCompression::Gzip)]
    compression: LayerCompression,
    container: String,
    /// The name of the new image; without a tag, `latest`
    #[arg(value_name = "IMAGE")]
    name: Reference,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LayerCompression {
    Gzip,
    Zstd,
    None,
}

pub(super) fn run(global: &Global, args: &CommitArgs) -> Result<Exit> {
    let store = root::open(global)?;
    let container = store.container(&args.container)?;
    let in_use = container.lock().context("a container is committed when nothing uses it")?;
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

/// What ran in the container made the layer; when nothing did, somebody wrote into its mount.
fn created_by(command: &[String]) -> String {
    if command.is_empty() { "overfuse mount --writable".into() } else { command.join(" ") }
}
