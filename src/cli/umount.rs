//! `overfuse umount`: unmounts.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Global};
use crate::mount;

/// Unmount a directory; the process that serves it ends.
#[derive(Debug, Args)]
pub(super) struct UmountArgs {
    /// Even while it is in use: hide the mount now, and end it when its last user ends
    #[arg(short, long)]
    lazy: bool,
    /// Mount points
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
}

pub(super) fn run(_global: &Global, args: &UmountArgs) -> anyhow::Result<Exit> {
    for dir in &args.dirs {
        mount::unmount(dir, args.lazy)?;
    }
    Ok(Exit::Success)
}
