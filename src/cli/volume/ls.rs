//! `overfuse volume ls`: lists the volumes in the store.

use anyhow::Result;
use clap::Args;

use super::labels;
use crate::cli::filter::{Filter, Filters};
use crate::cli::format::{self, Format, Listing, Row};
use crate::cli::{Exit, Global, output, root};
use crate::store::Volume;

/// List volumes
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  overfuse volume ls --filter dangling=true
  overfuse volume ls --format '{{.Name}}: {{.Mountpoint}}'")]
pub(in crate::cli) struct LsArgs {
    /// Print only the names
    #[arg(long, short)]
    quiet: bool,
    /// Only volumes that fit: name= (regular expression), label=NAME[=VALUE], dangling=true (no container uses it), driver=
    #[arg(long, short, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    #[arg(long, value_name = "FORMAT", default_value = "table", help = format::HELP)]
    format: Format,
}

const FIELDS: &[(&str, &str)] = &[
    ("Driver", "DRIVER"),
    ("Name", "VOLUME NAME"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Scope", "SCOPE"),
    ("Labels", "LABELS"),
    ("Size", "SIZE"),
    ("Links", "LINKS"),
    ("Availability", "AVAILABILITY"),
    ("Group", "GROUP"),
    ("Status", "STATUS"),
];

pub(in crate::cli) fn run(global: &Global, args: &LsArgs) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    let filters = Filters::new(&args.filter, &["name", "label", "dangling", "driver"])?;
    let dangling = filters.truth("dangling")?;
    let mut shown = Vec::new();
    for volume in store.volumes()? {
        let is_dangling = || anyhow::Ok(store.volume_users(&volume.name)?.is_empty());
        if filters.matches("name", &volume.name)?
            && filters.label(&labels(&volume))
            && filters.any("driver", |driver| driver == "local")
            && dangling.map_or(anyhow::Ok(true), |wanted| Ok(is_dangling()? == wanted))?
        {
            shown.push(volume);
        }
    }
    if args.quiet {
        output::print(&shown.iter().map(|volume| format!("{}\n", volume.name)).collect::<String>())?;
        return Ok(Exit::Success);
    }
    Listing { fields: FIELDS, shown: vec!["Driver", "Name"] }.print(&args.format, shown.iter().map(row).collect())?;
    Ok(Exit::Success)
}

fn row(volume: &Volume) -> Row {
    // Docker has these fields too, and says nothing in them for a volume of this kind.
    let unknown = || "N/A".to_owned();
    Row::new([
        ("Driver", "local".into()),
        ("Name", volume.name.clone()),
        ("Mountpoint", volume.data().display().to_string()),
        ("Scope", "local".into()),
        ("Size", unknown()),
        ("Links", unknown()),
        ("Availability", unknown()),
        ("Group", unknown()),
        ("Status", unknown()),
    ])
    .with_labels(labels(volume))
}
