//! `overfuse images`: lists the images in the store.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::cli::output::{self, Format, Table};
use crate::cli::{Exit, Global, root};
use crate::image::{Digest, Reference};
use crate::store::{Image, Store};

/// List images.
#[derive(Debug, Args)]
pub(in crate::cli) struct ImagesArgs {
    /// Print only the IDs
    #[arg(long, short)]
    quiet: bool,
    /// Do not shorten IDs
    #[arg(long)]
    no_trunc: bool,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(in crate::cli) fn run(global: &Global, args: &ImagesArgs) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    let images = store.images()?;
    let id = |digest: &Digest| if args.no_trunc { digest.to_string() } else { digest.short() };
    if args.quiet {
        output::print(&images.iter().map(|image| format!("{}\n", id(&image.id))).collect::<String>())?;
        return Ok(Exit::Success);
    }
    let rows = images.iter().flat_map(|image| rows(&store, image, &id(&image.id)));
    match args.format {
        Format::Json => {
            let rows: Vec<_> = rows.map(|row| row.to_json()).collect();
            output::print_lines(&rows)?;
        }
        Format::Table => {
            let mut table = Table::new(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
            rows.for_each(|row| table.row([row.repository, row.tag, row.id, row.since, row.size]));
            table.print()?;
        }
    }
    Ok(Exit::Success)
}

struct Row {
    repository: String,
    tag: String,
    id: String,
    digest: String,
    created: String,
    since: String,
    size: String,
}

/// One row for each name, or one row for an image without a name.
fn rows(store: &Store, image: &Image, id: &str) -> Vec<Row> {
    let created = image.created();
    let manifest = || image.manifest.digest().to_string();
    let row = |repository: String, tag: &str, digest: String| Row {
        repository,
        tag: tag.into(),
        id: id.into(),
        digest,
        created: created.map(|at| at.to_string()).unwrap_or_default(),
        since: output::since(created),
        size: output::size(store.image_bytes(image)),
    };
    if image.names.is_empty() {
        return vec![row("<none>".into(), "<none>", manifest())];
    }
    let named = |name: &Reference| {
        let digest = name.digest().map_or_else(manifest, |digest| digest.to_string());
        row(name.familiar_name(), name.tag().unwrap_or("<none>"), digest)
    };
    image.names.iter().map(named).collect()
}

impl Row {
    fn to_json(&self) -> serde_json::Value {
        json!({
            "Repository": self.repository,
            "Tag": self.tag,
            "ID": self.id,
            "Digest": self.digest,
            "CreatedAt": self.created,
            "CreatedSince": self.since,
            "Size": self.size,
        })
    }
}
