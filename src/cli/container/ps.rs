//! `overfuse ps`: lists the containers in the store.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::cli::output::{self, Format, Table};
use crate::cli::{Exit, Global, root};
use crate::container::{State, Status};
use crate::store::{Container, Store};

/// List containers.
#[derive(Debug, Args)]
pub(in crate::cli) struct PsArgs {
    /// List all containers, not only those in use
    #[arg(long, short)]
    all: bool,
    /// Print only the IDs
    #[arg(long, short)]
    quiet: bool,
    /// Add the size on disk of each container's changes, and the size with its image
    #[arg(long, short)]
    size: bool,
    /// Do not shorten IDs and commands
    #[arg(long)]
    no_trunc: bool,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The longest command in the table, in characters.
const COMMAND_WIDTH: usize = 20;

pub(in crate::cli) fn run(global: &Global, args: &PsArgs) -> Result<Exit> {
    // Measuring must read directories that belong to subordinate ids.
    let store = if args.size { root::open(global)? } else { root::open_to_read(global)? };
    let containers: Vec<_> = store.containers()?.into_iter().filter(|c| args.all || c.is_in_use()).collect();
    if args.quiet {
        let id = |container: &Container| format!("{}\n", short(container, args.no_trunc));
        output::print(&containers.iter().map(id).collect::<String>())?;
        return Ok(Exit::Success);
    }
    let rows = containers.iter().map(|container| row(&store, container, args)).collect::<Result<Vec<_>>>()?;
    match args.format {
        Format::Json => {
            let rows: Vec<_> = rows.iter().map(Row::to_json).collect();
            output::print_lines(&rows)?;
        }
        Format::Table => {
            let titles = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAMES"];
            let size = args.size.then_some("SIZE");
            let mut table = Table::new(&titles.into_iter().chain(size).collect::<Vec<_>>());
            for row in rows {
                let cells = [row.id, row.image, row.command, row.since, row.status, row.name];
                table.row(cells.into_iter().chain(row.size));
            }
            table.print()?;
        }
    }
    Ok(Exit::Success)
}

/// `Up`, `Mounted`, `Exited (STATUS)` or `Created`.
fn status(state: &State) -> String {
    match state.status {
        Status::Created => "Created".into(),
        Status::Running => "Up".into(),
        Status::Paused => "Up (Paused)".into(),
        Status::Restarting => format!("Restarting ({})", state.exit_code.unwrap_or_default()),
        Status::Exited => format!("Exited ({})", state.exit_code.unwrap_or_default()),
        Status::Mounted => "Mounted".into(),
    }
}

struct Row {
    id: String,
    image: String,
    command: String,
    created: String,
    since: String,
    status: String,
    name: String,
    size: Option<String>,
}

fn row(store: &Store, container: &Container, args: &PsArgs) -> Result<Row> {
    let command = format!("{:?}", container.command.join(" "));
    let size = if args.size {
        let own = store.container_bytes(container)?;
        let image = store.image(&container.image.to_string()).map_or(0, |image| store.image_bytes(&image));
        Some(format!("{} (virtual {})", output::size(own), output::size(own.saturating_add(image))))
    } else {
        None
    };
    Ok(Row {
        id: short(container, args.no_trunc),
        image: container.image_name.clone(),
        command: if args.no_trunc { command } else { output::ellipsis(&command, COMMAND_WIDTH) },
        created: container.created.to_string(),
        since: output::since(Some(container.created)),
        status: status(&State::of(container)?),
        name: container.name.clone(),
        size,
    })
}

fn short(container: &Container, whole: bool) -> String {
    if whole { container.id.clone() } else { container.id.chars().take(12).collect() }
}

impl Row {
    fn to_json(&self) -> serde_json::Value {
        let mut row = json!({
            "ID": self.id,
            "Image": self.image,
            "Command": self.command,
            "CreatedAt": self.created,
            "RunningFor": self.since,
            "Status": self.status,
            "Names": self.name,
        });
        if let Some(size) = &self.size {
            row["Size"] = json!(size);
        }
        row
    }
}
