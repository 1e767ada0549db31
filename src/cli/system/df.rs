//! `overfuse system df`: prints what takes how much of the disk.

use std::collections::{BTreeMap, HashSet};

use anyhow::Result;
use clap::Args;

use crate::cli::container::seen::{Images, Seen};
use crate::cli::format::{self, Format, Listing, Row};
use crate::cli::{Exit, Global, output, root};
use crate::image::{Digest, Instant};
use crate::store::{Image, Store, Volume};

/// Show how much of the disk images, containers and volumes take
#[derive(Debug, Args)]
#[command(after_help = "\
A layer that several images share counts once. Archives are the compressed layers as they were loaded: they are kept so \
that an image can be written again with the same digest.")]
pub(in crate::cli) struct DfArgs {
    /// Show each image, container and volume
    #[arg(long, short, conflicts_with = "format")]
    verbose: bool,
    #[arg(long, value_name = "FORMAT", default_value = "table", help = format::HELP)]
    format: Format,
}

/// What one kind of things takes.
struct Kind {
    name: &'static str,
    total: usize,
    active: usize,
    bytes: u64,
    reclaimable: u64,
}

pub(in crate::cli) fn run(global: &Global, args: &DfArgs) -> Result<Exit> {
    // Measuring must read directories that belong to subordinate ids.
    let store = root::open(global)?;
    let images = Images::new(&store)?;
    let containers = Seen::all(&store, &images)?;
    let mut sizes = Vec::new();
    for seen in &containers {
        sizes.push(store.container_bytes(&seen.container)?);
    }
    let volumes = volumes(&store, &containers)?;
    if args.verbose {
        output::print(&verbose(&store, &images, &containers, &sizes))?;
        output::print(&verbose_volumes(&volumes))?;
        return Ok(Exit::Success);
    }
    let kinds = [
        image_kind(&store, &images, &containers),
        container_kind(&containers, &sizes),
        volume_kind(&volumes),
        archive_kind(&store)?,
    ];
    let fields = &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ];
    let shown = fields.iter().map(|(field, _)| *field).collect();
    Listing { fields, shown }.print(&args.format, kinds.iter().map(row).collect())?;
    Ok(Exit::Success)
}

fn row(kind: &Kind) -> Row {
    let percent = (kind.reclaimable * 100).checked_div(kind.bytes).map(|percent| format!(" ({percent}%)"));
    Row::new([
        ("Type", kind.name.into()),
        ("TotalCount", kind.total.to_string()),
        ("Active", kind.active.to_string()),
        ("Size", output::size(kind.bytes)),
        ("Reclaimable", format!("{}{}", output::size(kind.reclaimable), percent.unwrap_or_default())),
    ])
}

fn image_kind(store: &Store, images: &Images, containers: &[Seen]) -> Kind {
    let used: HashSet<Digest> = containers.iter().map(|seen| seen.container.image).collect();
    let layers = |of: &dyn Fn(&Image) -> bool| -> HashSet<Digest> {
        images.all().filter(|image| of(image)).flat_map(|image| image.layers.clone()).collect()
    };
    let bytes = |layers: &HashSet<Digest>| layers.iter().map(|layer| store.layer_bytes(layer)).sum::<u64>();
    let (all, kept) = (bytes(&layers(&|_| true)), bytes(&layers(&|image| used.contains(&image.id))));
    let active = images.all().filter(|image| used.contains(&image.id)).count();
    Kind { name: "Images", total: images.len(), active, bytes: all, reclaimable: all.saturating_sub(kept) }
}

fn container_kind(containers: &[Seen], sizes: &[u64]) -> Kind {
    let active = containers.iter().filter(|seen| seen.life.in_use).count();
    let idle = containers.iter().zip(sizes).filter(|(seen, _)| !seen.life.in_use);
    let reclaimable = idle.map(|(_, bytes)| bytes).sum();
    Kind { name: "Containers", total: containers.len(), active, bytes: sizes.iter().sum(), reclaimable }
}

/// A volume, how many containers use it, and its bytes.
type Measured = (Volume, usize, u64);

fn volumes(store: &Store, containers: &[Seen]) -> Result<Vec<Measured>> {
    let uses = |name: &str| {
        containers.iter().filter(|seen| seen.container.volumes.iter().any(|volume| volume.name == name)).count()
    };
    let measure = |volume: Volume| {
        let bytes = store.volume_bytes(&volume)?;
        Ok((volume.clone(), uses(&volume.name), bytes))
    };
    store.volumes()?.into_iter().map(measure).collect()
}

fn volume_kind(volumes: &[Measured]) -> Kind {
    let active = volumes.iter().filter(|(_, links, _)| *links > 0).count();
    let reclaimable = volumes.iter().filter(|(_, links, _)| *links == 0).map(|(_, _, bytes)| bytes).sum();
    let bytes = volumes.iter().map(|(_, _, bytes)| bytes).sum();
    Kind { name: "Local Volumes", total: volumes.len(), active, bytes, reclaimable }
}

fn verbose_volumes(volumes: &[Measured]) -> String {
    let mut table = output::Table::new(&["VOLUME NAME", "LINKS", "SIZE"]);
    for (volume, links, bytes) in volumes {
        table.row([volume.name.clone(), links.to_string(), output::size(*bytes)]);
    }
    format!("\nLocal Volumes space usage:\n\n{}", table.render())
}

fn archive_kind(store: &Store) -> Result<Kind> {
    let (total, bytes) = store.blobs_size()?;
    Ok(Kind { name: "Archives", total, active: total, bytes, reclaimable: 0 })
}

/// One table for images and one for containers.
fn verbose(store: &Store, images: &Images, containers: &[Seen], sizes: &[u64]) -> String {
    let mut shared_by: BTreeMap<Digest, usize> = BTreeMap::new();
    for image in images.all() {
        let layers: HashSet<_> = image.layers.iter().collect();
        layers.into_iter().for_each(|layer| *shared_by.entry(*layer).or_default() += 1);
    }
    let titles = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"];
    let mut table = output::Table::new(&titles);
    let mut newest: Vec<_> = images.all().collect();
    newest.sort_by_key(|image| (std::cmp::Reverse(image.created()), image.id));
    for image in newest {
        let all = store.image_bytes(image);
        let shared = image.layers.iter().filter(|layer| shared_by.get(layer).is_some_and(|count| *count > 1));
        let shared: u64 = shared.map(|layer| store.layer_bytes(layer)).sum();
        let used = containers.iter().filter(|seen| seen.container.image == image.id).count();
        let none = || "<none>".to_owned();
        let names = match image.names.as_slice() {
            [] => vec![(none(), none())],
            names => {
                names.iter().map(|name| (name.familiar_name(), name.tag().map_or_else(none, Into::into))).collect()
            }
        };
        for (repository, tag) in names {
            let unique = all.saturating_sub(shared);
            let bytes = [all, shared, unique].map(output::size);
            let cells = [repository, tag, image.id.short(), output::since(image.created())];
            table.row(cells.into_iter().chain(bytes).chain([used.to_string()]));
        }
    }
    let titles = ["CONTAINER ID", "IMAGE", "COMMAND", "SIZE", "CREATED", "STATUS", "NAMES"];
    let mut of_containers = output::Table::new(&titles);
    for (seen, bytes) in containers.iter().zip(sizes) {
        let container = &seen.container;
        of_containers.row([
            output::short(&container.id),
            seen.image_name(images),
            output::ellipsis(&format!("{:?}", output::harmless(&container.command.join(" "))), 20),
            output::size(*bytes),
            output::since(Some(container.created)),
            seen.life.describe(Instant::now()),
            container.name.clone(),
        ]);
    }
    format!("Images space usage:\n\n{}\nContainers space usage:\n\n{}", table.render(), of_containers.render())
}
