//! `overfuse diff`: prints the changes that a container made to its image's files.

use std::os::unix::ffi::OsStrExt;

use anyhow::Result;
use clap::Args;

use crate::cli::format::{self, Format, Listing, Row};
use crate::cli::output;
use crate::cli::{Exit, Global, root};
use crate::tar::Change;

/// Show which files of its image a container added (A), changed (C) and deleted (D).
#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// A container, by name or ID
    container: String,
    #[arg(long, value_name = "FORMAT", default_value = "table", help = format::HELP)]
    format: Format,
}

pub(in crate::cli) fn run(global: &Global, args: &DiffArgs) -> Result<Exit> {
    let store = root::open(global)?;
    let changes = store.changes(&store.container(&args.container)?)?;
    if args.format == Format::Table {
        output::print(&changes.iter().map(line).collect::<String>())?;
        return Ok(Exit::Success);
    }
    let listing = Listing { fields: &[("Kind", "CHANGE"), ("Path", "PATH")], shown: vec!["Kind", "Path"] };
    let row = |change: &Change| {
        Row::new([("Kind", change.kind.to_string()), ("Path", change.path.to_string_lossy().into_owned())])
    };
    listing.print(&args.format, changes.iter().map(row).collect())?;
    Ok(Exit::Success)
}

/// One line, in the format of `docker diff`.
pub(in crate::cli) fn line(change: &Change) -> String {
    let path = String::from_utf8_lossy(change.path.as_os_str().as_bytes());
    format!("{} {}\n", change.kind, output::harmless(&path))
}
