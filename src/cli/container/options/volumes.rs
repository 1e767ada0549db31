//! Options about what is mounted in a container.

use anyhow::{Context, Result};
use clap::Args;

use crate::container::Volume;

#[derive(Debug, Args)]
pub(in crate::cli::container) struct VolumeArgs {
    /// Show a file or directory of this host in the container
    #[arg(short, long = "volume", value_name = "SOURCE:TARGET[:ro]", conflicts_with = "chroot")]
    volumes: Vec<Volume>,
    /// Refuse changes to the container's files
    #[arg(long, conflicts_with = "chroot")]
    read_only: bool,
}

impl VolumeArgs {
    /// The volumes with absolute sources, so that they do not depend on the working directory.
    pub(in crate::cli::container) fn volumes(&self) -> Result<Vec<Volume>> {
        let resolve = |volume: &Volume| {
            let source = volume.source.canonicalize();
            let source = source.with_context(|| format!("volume source {}", volume.source.display()))?;
            Ok(Volume { source, ..volume.clone() })
        };
        self.volumes.iter().map(resolve).collect()
    }

    pub(in crate::cli::container) fn read_only(&self) -> bool {
        self.read_only
    }
}
