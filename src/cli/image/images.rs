//! `overfuse images` and `overfuse image ls`: list the images in the store.

use anyhow::Result;
use clap::Args;

use super::select::Selection;
use crate::cli::filter::Filter;
use crate::cli::format::{self, Format, Listing, Row};
use crate::cli::{Exit, Global, output, root};
use crate::image::Reference;
use crate::store::{Image, Store};

/// List images
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  overfuse images debian
  overfuse images --filter 'reference=*/app:v*' --format 'table {{.Repository}}\\t{{.Size}}'")]
pub(in crate::cli) struct ImagesArgs {
    /// Only images of this name, perhaps with a tag; `*` and `?` stand for any text and any character
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
    /// Show the images of the steps of builds too
    #[arg(long, short)]
    all: bool,
    /// Print only the IDs
    #[arg(long, short)]
    quiet: bool,
    /// Show the digest of each image's manifest
    #[arg(long)]
    digests: bool,
    /// Do not shorten IDs
    #[arg(long)]
    no_trunc: bool,
    /// Only images that fit: dangling=true|false, reference=PATTERN, label=NAME[=VALUE], before=IMAGE, since=IMAGE,
    /// until=TIME
    #[arg(long, short, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    #[arg(long, value_name = "FORMAT", default_value = "table", help = format::HELP)]
    format: Format,
}

const FIELDS: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
];

pub(in crate::cli) fn run(global: &Global, args: &ImagesArgs) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    let selection = Selection::new(&store, &args.filter, args.name.as_deref())?;
    let images = store.images()?;
    let mut rows = Vec::new();
    for image in &images {
        let names = selection.names(image);
        // An image without a name is one row without a name.
        let shown: Vec<_> = match image.names.is_empty() {
            true => vec![None],
            false => names.into_iter().map(Some).collect(),
        };
        if shown.is_empty() || (image.is_intermediate() && !args.all) || !selection.fits(image) {
            continue;
        }
        let id = if args.no_trunc { image.id.to_string() } else { image.id.short() };
        if args.quiet {
            output::print(&format!("{id}\n"))?;
            continue;
        }
        let containers = store.containers()?.iter().filter(|container| container.image == image.id).count();
        rows.extend(shown.into_iter().map(|name| row(&store, image, name, &id, containers)));
    }
    if args.quiet {
        return Ok(Exit::Success);
    }
    let mut shown = vec!["Repository", "Tag", "ID", "CreatedSince", "Size"];
    if args.digests {
        shown.insert(2, "Digest");
    }
    Listing { fields: FIELDS, shown }.print(&args.format, rows)?;
    Ok(Exit::Success)
}

/// The row of one name of an image.
fn row(store: &Store, image: &Image, name: Option<&Reference>, id: &str, containers: usize) -> Row {
    let created = image.created();
    let none = || "<none>".to_owned();
    let digest = name.and_then(Reference::digest).map(|digest| digest.to_string());
    Row::new([
        ("ID", id.into()),
        ("Repository", name.map_or_else(none, Reference::familiar_name)),
        ("Tag", name.and_then(Reference::tag).map_or_else(none, Into::into)),
        ("Digest", digest.unwrap_or_else(|| image.manifest.digest().to_string())),
        ("CreatedSince", output::since(created)),
        ("CreatedAt", created.map_or("N/A".into(), output::point)),
        ("Size", output::size(store.image_bytes(image))),
        ("Containers", containers.to_string()),
    ])
}
