//! The option that chooses who makes the container.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::container::runtime;

#[derive(Debug, Args)]
pub(in crate::cli::container) struct RuntimeArgs {
    /// Have an OCI runtime make the container: `runc`, `crun`, or the path of another one
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["chroot", "init"])]
    runtime: Option<PathBuf>,
}

impl RuntimeArgs {
    /// The runtime's program, with absolute path.
    ///
    /// # Errors
    /// There is no such program.
    pub(in crate::cli::container) fn program(&self) -> Result<Option<PathBuf>> {
        let dirs: Vec<PathBuf> = env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
        let find = |name: &PathBuf| {
            runtime::find(name, &dirs).with_context(|| format!("there is no runtime {:?}", name.display().to_string()))
        };
        self.runtime.as_ref().map(find).transpose()
    }
}
