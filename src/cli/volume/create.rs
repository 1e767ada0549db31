//! `overfuse volume create`: makes a volume.

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::{Exit, Global, output, root};
use crate::store::NewVolume;

/// Make a volume
///
/// Prints its name. A volume that exists already stays as it is. `run -v NAME:TARGET` makes a missing volume too.
#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// Give the volume a label; without a value, an empty one
    #[arg(long = "label", value_name = "NAME[=VALUE]")]
    labels: Vec<String>,
    /// The only driver: a directory of the store
    #[arg(long, short, value_name = "DRIVER", default_value = "local")]
    driver: String,
    /// Name of the volume [default: a generated one]
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

pub(in crate::cli) fn run(global: &Global, args: &CreateArgs) -> Result<Exit> {
    if args.driver != "local" {
        bail!("there is no volume driver {:?}: the only one is local", args.driver);
    }
    let mut new = NewVolume { name: args.name.clone(), anonymous: args.name.is_none(), ..NewVolume::default() };
    for label in &args.labels {
        let (name, value) = label.split_once('=').unwrap_or((label, ""));
        if name.trim().is_empty() {
            bail!("label {label:?} has no name");
        }
        new.labels.insert(name.into(), value.into());
    }
    let volume = root::open(global)?.create_volume(new)?;
    output::print(&format!("{}\n", volume.name))?;
    Ok(Exit::Success)
}
