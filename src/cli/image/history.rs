//! `overfuse history`: prints the steps that made an image, newest first.

use anyhow::Result;
use clap::{ArgAction, Args};

use crate::cli::format::{self, Format, Listing, Row};
use crate::cli::{Exit, Global, output, root};
use crate::image::Instant;
use crate::image::history::{Step, steps};
use crate::store::{Image, Store};

/// Show the steps that made an image, newest first
#[derive(Debug, Args)]
pub(in crate::cli) struct HistoryArgs {
    /// An image, by name, digest or ID
    image: String,
    /// Print only the IDs
    #[arg(long, short)]
    quiet: bool,
    /// Do not shorten commands and IDs
    #[arg(long)]
    no_trunc: bool,
    /// Show sizes with units and times as ages; --human=false: bytes and dates
    #[arg(long, short = 'H', value_name = "true|false", default_value_t = true, default_missing_value = "true",
        num_args = 0..=1, require_equals = true, hide_default_value = true, action = ArgAction::Set)]
    human: bool,
    #[arg(long, value_name = "FORMAT", default_value = "table", help = format::HELP)]
    format: Format,
}

/// The longest command in the table, in characters.
const COMMAND_WIDTH: usize = 45;

const FIELDS: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

pub(in crate::cli) fn run(global: &Global, args: &HistoryArgs) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    let image = store.image(&args.image)?;
    let steps = steps(&image.config, image.layers.len());
    let rows = steps.iter().enumerate().map(|(index, step)| row(&store, &image, index == 0, step, args));
    if args.quiet {
        let ids = (0..steps.len()).map(|index| format!("{}\n", id(&image, index == 0, args)));
        output::print(&ids.collect::<String>())?;
        return Ok(Exit::Success);
    }
    let listing = Listing { fields: FIELDS, shown: vec!["ID", "CreatedSince", "CreatedBy", "Size", "Comment"] };
    listing.print(&args.format, rows.collect())?;
    Ok(Exit::Success)
}

/// Only the newest step has an ID: the image's.
fn id(image: &Image, newest: bool, args: &HistoryArgs) -> String {
    match (newest, args.no_trunc) {
        (false, _) => "<missing>".into(),
        (true, false) => image.id.short(),
        (true, true) => image.id.to_string(),
    }
}

fn row(store: &Store, image: &Image, newest: bool, step: &Step<'_>, args: &HistoryArgs) -> Row {
    let entry = step.entry;
    let text = |field: Option<&Option<String>>| field.cloned().flatten().unwrap_or_default();
    let created = text(entry.map(|entry| entry.created()));
    let since = output::since(created.parse().ok().filter(Instant::is_told));
    let created_by = output::harmless(&text(entry.map(|entry| entry.created_by())));
    let bytes = step.layer.and_then(|layer| image.layers.get(layer)).map_or(0, |id| store.layer_bytes(id));
    Row::new([
        ("ID", id(image, newest, args)),
        ("CreatedSince", if args.human { since } else { created.clone() }),
        ("CreatedAt", created),
        ("CreatedBy", if args.no_trunc { created_by } else { output::ellipsis(&created_by, COMMAND_WIDTH) }),
        ("Size", if args.human { output::size(bytes) } else { bytes.to_string() }),
        ("Comment", text(entry.map(|entry| entry.comment()))),
    ])
}
