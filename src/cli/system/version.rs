//! `overfuse version`: prints which program this is.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::host;
use crate::cli::{Exit, Global, format, output};

/// Show the version of overfuse and of this host
#[derive(Debug, Args)]
pub(in crate::cli) struct VersionArgs {
    /// `json`, or a Go template: '{{.Client.Version}}'
    #[arg(long, short, value_name = "FORMAT")]
    format: Option<String>,
}

pub(in crate::cli) fn run(_global: &Global, args: &VersionArgs) -> Result<Exit> {
    let (version, kernel) = (env!("CARGO_PKG_VERSION"), host::kernel());
    let (os, arch) = host::platform();
    let text = match &args.format {
        Some(format) => {
            let client = json!({
                "Version": version,
                "ApiVersion": "",
                "Os": os,
                "Arch": arch,
                "KernelVersion": kernel,
            });
            format::one(format, &json!({ "Client": client, "Server": null }))?
        }
        None => format!(
            "Client:\n Version:        {version}\n API version:    none: there is no daemon\n OS/Arch:        {os}/{arch}\n \
             Kernel Version: {kernel}\n"
        ),
    };
    output::print(&text)?;
    Ok(Exit::Success)
}
