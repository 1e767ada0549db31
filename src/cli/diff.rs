//! `overfuse diff`: what a container changed of its image.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use super::output::{self, Format};
use super::{Exit, Global, root};
use crate::layer;
use crate::store::{Container, Store};
use crate::sys::Dir;
use crate::tar::{self, Change, Over};

/// Show which files of its image a container added (A), changed (C) and deleted (D).
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    container: String,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(global: &Global, args: &DiffArgs) -> Result<Exit> {
    let store = root::open(global)?;
    let changes = changes(&store, &store.container(&args.container)?)?;
    match args.format {
        Format::Json => {
            let row = |change: &Change| json!({"Kind": change.kind.to_string(), "Path": change.path.to_string_lossy()});
            output::print_lines(&changes.iter().map(row).collect::<Vec<_>>())?;
        }
        Format::Table => output::print(&changes.iter().map(line).collect::<String>())?,
    }
    Ok(Exit::Success)
}

/// As `docker diff` prints it.
pub(super) fn line(change: &Change) -> String {
    let path = String::from_utf8_lossy(change.path.as_os_str().as_bytes());
    format!("{} {}\n", change.kind, output::harmless(&path))
}

/// What `container` changed, sorted by path.
///
/// # Errors
/// When its directories cannot be read.
pub(super) fn changes(store: &Store, container: &Container) -> Result<Vec<Change>> {
    Ok(tar::changes(ContainerLayers::open(store, container)?.over(), store.policy()?)?)
}

/// What a container's changes are over.
pub(super) struct ContainerLayers {
    upper: Dir,
    lower: Vec<Dir>,
    index: Option<Dir>,
}

impl ContainerLayers {
    /// # Errors
    /// When the directories cannot be opened.
    pub(super) fn open(store: &Store, container: &Container) -> Result<ContainerLayers> {
        let image = store.image(&container.image.to_string())?;
        let lower = store.lower_dirs(&image).iter().map(|path| open(path)).collect::<Result<_>>()?;
        let index = container.work().join(layer::INDEX);
        let index = if index.exists() { Some(open(&index)?) } else { None };
        Ok(ContainerLayers { upper: open(&container.upper())?, lower, index })
    }

    pub(super) fn over(&self) -> Over<'_> {
        Over { upper: &self.upper, lower: &self.lower, index: self.index.as_ref() }
    }
}

/// Opens a directory of the store.
pub(super) fn open(path: &Path) -> Result<Dir> {
    Dir::open_host(path).with_context(|| format!("opening {}", path.display()))
}
