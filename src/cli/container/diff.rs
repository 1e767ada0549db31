//! `overfuse diff`: prints the changes that a container made to its image's files.

use std::os::unix::ffi::OsStrExt;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::cli::output::{self, Format};
use crate::cli::{Exit, Global, root};
use crate::tar::Change;

/// Show which files of its image a container added (A), changed (C) and deleted (D).
#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    container: String,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(in crate::cli) fn run(global: &Global, args: &DiffArgs) -> Result<Exit> {
    let store = root::open(global)?;
    let changes = store.changes(&store.container(&args.container)?)?;
    match args.format {
        Format::Json => {
            let row = |change: &Change| json!({"Kind": change.kind.to_string(), "Path": change.path.to_string_lossy()});
            output::print_lines(&changes.iter().map(row).collect::<Vec<_>>())?;
        }
        Format::Table => output::print(&changes.iter().map(line).collect::<String>())?,
    }
    Ok(Exit::Success)
}

/// One line, in the format of `docker diff`.
pub(in crate::cli) fn line(change: &Change) -> String {
    let path = String::from_utf8_lossy(change.path.as_os_str().as_bytes());
    format!("{} {}\n", change.kind, output::harmless(&path))
}
