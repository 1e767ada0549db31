//! `overfuse history`: prints the steps that made an image, newest first.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::cli::output::{self, Format, Table};
use crate::cli::{Exit, Global, root};
use crate::image::Instant;
use crate::image::history::{Step, steps};
use crate::store::{Image, Store};

/// Show the steps that made an image.
#[derive(Debug, Args)]
pub(in crate::cli) struct HistoryArgs {
    image: String,
    /// Do not shorten commands and IDs
    #[arg(long)]
    no_trunc: bool,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The longest command in the table, in characters.
const COMMAND_WIDTH: usize = 45;

pub(in crate::cli) fn run(global: &Global, args: &HistoryArgs) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    let image = store.image(&args.image)?;
    let steps = steps(&image.config, image.layers.len());
    let rows = steps.iter().enumerate().map(|(index, step)| row(&store, &image, index == 0, step, args.no_trunc));
    match args.format {
        Format::Json => {
            let rows: Vec<_> = rows.map(|row| row.to_json()).collect();
            output::print_lines(&rows)?;
        }
        Format::Table => {
            let mut table = Table::new(&["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]);
            rows.for_each(|row| table.row([row.id, row.since, row.created_by, row.size, row.comment]));
            table.print()?;
        }
    }
    Ok(Exit::Success)
}

struct Row {
    id: String,
    created: String,
    since: String,
    created_by: String,
    size: String,
    comment: String,
}

fn row(store: &Store, image: &Image, newest: bool, step: &Step<'_>, whole: bool) -> Row {
    let entry = step.entry;
    let text = |field: Option<&Option<String>>| field.cloned().flatten().unwrap_or_default();
    let created = text(entry.map(|entry| entry.created()));
    let since = output::since(created.parse().ok().filter(Instant::is_told));
    let created_by = output::harmless(&text(entry.map(|entry| entry.created_by())));
    let bytes = step.layer.and_then(|layer| image.layers.get(layer)).map_or(0, |id| store.layer_bytes(id));
    Row {
        id: match (newest, whole) {
            (false, _) => "<missing>".into(),
            (true, false) => image.id.short(),
            (true, true) => image.id.to_string(),
        },
        created,
        since,
        created_by: if whole { created_by } else { output::ellipsis(&created_by, COMMAND_WIDTH) },
        size: output::size(bytes),
        comment: text(entry.map(|entry| entry.comment())),
    }
}

impl Row {
    fn to_json(&self) -> serde_json::Value {
        json!({
            "ID": self.id,
            "CreatedAt": self.created,
            "CreatedSince": self.since,
            "CreatedBy": self.created_by,
            "Size": self.size,
            "Comment": self.comment,
        })
    }
}
