//! `overfuse image prune`: removes images that nobody needs.

use std::collections::{BTreeMap, HashSet};

use anyhow::Result;
use clap::Args;

use super::select::Selection;
use crate::cli::confirm::confirm;
use crate::cli::filter::Filter;
use crate::cli::{Exit, Global, output, root};
use crate::image::Digest;
use crate::store::StoreError;

/// Remove images without a name; with -a, all images without a container
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  overfuse image prune --all --force --filter until=240h")]
pub(in crate::cli) struct PruneArgs {
    /// Images with names too, if no container is made of them, and all steps of builds, which are then done again
    #[arg(long, short)]
    all: bool,
    /// Do not ask
    #[arg(long, short)]
    force: bool,
    /// Only images that fit: until=TIME (built before then: 24h, 2024-01-31), label=NAME[=VALUE], label!=NAME[=VALUE],
    /// dangling=false (as --all)
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
}

pub(in crate::cli) fn run(global: &Global, args: &PruneArgs) -> Result<Exit> {
    let selection = Selection::for_prune(&args.filter)?;
    let all = args.all || selection.means_named();
    let what = if all { "all images without a container" } else { "all images without a name" };
    if !args.force && !confirm(&format!("This will remove {what}."))? {
        return Ok(Exit::Success);
    }
    let store = root::open(global)?;
    let used: HashSet<Digest> = store.containers()?.into_iter().map(|container| container.image).collect();
    let mut exit = Exit::Success;
    let (mut told, mut bytes) = (String::new(), 0u64);
    for image in store.images()? {
        let kept = !all && (!image.names.is_empty() || image.is_intermediate());
        if used.contains(&image.id) || kept || !selection.fits(&image) {
            continue;
        }
        let sizes: BTreeMap<_, _> = image.layers.iter().map(|layer| (*layer, store.layer_bytes(layer))).collect();
        match store.remove_image(&image.id.to_string(), true) {
            Ok(removed) => {
                told.extend(removed.untagged.iter().map(|name| format!("untagged: {name}\n")));
                told.extend(removed.deleted.iter().chain(&removed.layers).map(|id| format!("deleted: {id}\n")));
                let freed = removed.layers.iter().filter_map(|layer| sizes.get(layer));
                bytes = freed.fold(bytes, |sum, size| sum.saturating_add(*size));
            }
            // Somebody began to use it, or removed it, meanwhile.
            Err(StoreError::ImageInUse { .. } | StoreError::ImageMounted { .. } | StoreError::UnknownImage { .. }) => {}
            Err(error) => {
                crate::cli::exit::report(&error.into());
                exit = Exit::Failure;
            }
        }
    }
    if all {
        store.forget_cache()?;
    }
    if !told.is_empty() {
        output::print(&format!("Deleted Images:\n{told}\n"))?;
    }
    output::print(&format!("Total reclaimed space: {}\n", output::size(bytes)))?;
    Ok(exit)
}
