//! `overfuse port`: lists the published ports of a container.

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::output;
use crate::cli::{Exit, Global, root};
use crate::container::network::{Port, published};

/// List the published ports of a container, or where one of them is published
///
/// A container that does not run has none.
#[derive(Debug, Args)]
pub(in crate::cli) struct PortArgs {
    /// The container, by name or ID
    container: String,
    /// A port of the container
    #[arg(value_name = "PORT[/tcp|udp]")]
    port: Option<Port>,
}

pub(in crate::cli) fn run(global: &Global, args: &PortArgs) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    let container = store.container(&args.container)?;
    let published = published(&container)?;
    let lines: Vec<String> = match args.port {
        None => published.iter().map(|one| format!("{} -> {}\n", one.port, one.host)).collect(),
        Some(port) => published.iter().filter(|one| one.port == port).map(|one| format!("{}\n", one.host)).collect(),
    };
    if let (Some(port), true) = (args.port, lines.is_empty()) {
        bail!("{} publishes no port {port}", container.name);
    }
    output::print(&lines.concat())?;
    Ok(Exit::Success)
}
