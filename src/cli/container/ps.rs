//! `overfuse ps` and `overfuse container ls`: list containers.

use anyhow::Result;
use clap::Args;

use super::seen::{Images, Seen};
use super::select::Selection;
use super::{inspect, left_over};
use crate::cli::filter::Filter;
use crate::cli::format::{self, Format, Listing, Row};
use crate::cli::{Exit, Global, output, root};
use crate::container::network::{published, summary};
use crate::image::Instant;
use crate::store::Store;

/// List containers
///
/// Without -a, only those that run or are mounted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  overfuse ps -a --filter status=exited --filter label=team=core
  overfuse ps --format 'table {{.Names}}\\t{{.Status}}'
  overfuse rm $(overfuse ps -aq --filter ancestor=debian)")]
pub(in crate::cli) struct PsArgs {
    /// List all containers, not only those in use
    #[arg(long, short)]
    all: bool,
    /// Print only the IDs
    #[arg(long, short)]
    quiet: bool,
    /// Add the size of each container's changes, and the size with its image
    #[arg(long, short)]
    size: bool,
    /// Only the newest container, in any state
    #[arg(long, short)]
    latest: bool,
    /// Only the N newest containers, in any state
    #[arg(long, short = 'n', value_name = "N", conflicts_with = "latest")]
    last: Option<usize>,
    /// Do not shorten IDs and commands
    #[arg(long)]
    no_trunc: bool,
    /// Only containers that fit: id=, name= (regular expression), label=NAME[=VALUE], exited=CODE, status=, ancestor=IMAGE,
    /// before=CONTAINER, since=CONTAINER, until=TIME, volume=, network=, health=
    #[arg(long, short, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    #[arg(long, value_name = "FORMAT", default_value = "table", help = format::HELP)]
    format: Format,
}

/// The longest command in the table, in characters.
const COMMAND_WIDTH: usize = 20;

const FIELDS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("RunningFor", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Status", "STATUS"),
    ("State", "STATE"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];

pub(in crate::cli) fn run(global: &Global, args: &PsArgs) -> Result<Exit> {
    let asks_size =
        args.size || matches!(&args.format, Format::Template(text) | Format::Columns(text) if text.contains(".Size"));
    // Measuring must read directories that belong to subordinate ids.
    let store = if asks_size { root::open(global)? } else { root::open_to_read(global)? };
    left_over::remove(&store);
    let selection = Selection::new(&store, &args.filter)?;
    let images = Images::new(&store)?;
    let newest = if args.latest { Some(1) } else { args.last };
    let all = args.all || newest.is_some() || selection.means_all();
    let mut shown = Vec::new();
    for seen in Seen::all(&store, &images)? {
        if (all || seen.life.in_use) && selection.fits(&seen, &images)? {
            shown.push(seen);
        }
    }
    shown.truncate(newest.unwrap_or(usize::MAX));
    let id = |seen: &Seen| if args.no_trunc { seen.container.id.clone() } else { output::short(&seen.container.id) };
    if args.quiet {
        output::print(&shown.iter().map(|seen| format!("{}\n", id(seen))).collect::<String>())?;
        return Ok(Exit::Success);
    }
    let rows = shown.iter().map(|seen| {
        let size = if asks_size { size(&store, seen, &images)? } else { "0B".into() };
        Ok(row(seen, &images, id(seen), size, args.no_trunc))
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    let mut columns = vec!["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];
    columns.extend(args.size.then_some("Size"));
    Listing { fields: FIELDS, shown: columns }.print(&args.format, rows)?;
    Ok(Exit::Success)
}

/// `5B (virtual 133MB)`: the container's own changes, and those with its image.
fn size(store: &Store, seen: &Seen, images: &Images) -> Result<String> {
    let own = store.container_bytes(&seen.container)?;
    let image = images.get(&seen.container.image).map_or(0, |image| store.image_bytes(image));
    Ok(format!("{} (virtual {})", output::size(own), output::size(own.saturating_add(image))))
}

fn row(seen: &Seen, images: &Images, id: String, size: String, whole: bool) -> Row {
    let Seen { container, settings, life, labels } = seen;
    let command = format!("{:?}", output::harmless(&container.command.join(" ")));
    let platform = images.get(&container.image).map(|image| {
        let config = &image.config;
        format!("{}/{}", config.os(), config.architecture())
    });
    // A container that ends meanwhile has none.
    let published = published(container).unwrap_or_default();
    let ports = if life.running { summary(&published, &settings.network.expose) } else { String::new() };
    Row::new([
        ("ID", id),
        ("Image", seen.image_name(images)),
        ("Command", if whole { command } else { output::ellipsis(&command, COMMAND_WIDTH) }),
        ("RunningFor", output::since(Some(container.created))),
        ("CreatedAt", output::point(container.created)),
        ("Status", life.describe(Instant::now())),
        ("State", life.word.into()),
        ("Ports", ports),
        ("Names", container.name.clone()),
        ("Size", size),
        ("Mounts", inspect::mount_names(settings, whole).join(",")),
        ("LocalVolumes", container.volumes.len().to_string()),
        ("Networks", inspect::network_mode(settings)),
        ("Platform", platform.unwrap_or_default()),
    ])
    .with_labels(labels.clone())
}
