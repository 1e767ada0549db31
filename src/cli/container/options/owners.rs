//! Options about the users of the container.

use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli::container) struct OwnerArgs {
    /// Without subordinate ids: refuse users other than root, instead of recording them (no process beside the
    /// container's then answers its calls)
    #[arg(long)]
    no_virtual_ids: bool,
}

impl OwnerArgs {
    pub(in crate::cli::container) fn no_virtual_ids(&self) -> bool {
        self.no_virtual_ids
    }
}
