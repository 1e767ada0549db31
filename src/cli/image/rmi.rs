//! `overfuse rmi`: removes names of images, and an image with its last name.

use anyhow::Result;
use clap::Args;

use crate::cli::{Exit, Global, output, root};

/// Remove images that no container uses
#[derive(Debug, Args)]
pub(in crate::cli) struct RmiArgs {
    /// Names, which are removed, or IDs; an image goes with its last name
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Remove all names of an image that is given by its ID
    #[arg(long, short)]
    force: bool,
}

/// Removes every image that can be removed, and prints for each other one why not.
pub(in crate::cli) fn run(global: &Global, args: &RmiArgs) -> Result<Exit> {
    let store = root::open(global)?;
    let mut exit = Exit::Success;
    for name in &args.images {
        match store.remove_image(name, args.force) {
            Ok(removed) => {
                let untagged = removed.untagged.iter().map(|name| format!("Untagged: {name}\n"));
                let deleted = removed.deleted.iter().chain(&removed.layers).map(|id| format!("Deleted: {id}\n"));
                output::print(&untagged.chain(deleted).collect::<String>())?;
            }
            Err(error) => {
                eprintln!("overfuse: {:#}", anyhow::Error::from(error));
                exit = Exit::Failure;
            }
        }
    }
    Ok(exit)
}
