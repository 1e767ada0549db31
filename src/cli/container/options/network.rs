//! Options about the network.

use clap::{Args, ValueEnum};

use crate::container::Network;

#[derive(Debug, Args)]
pub(in crate::cli::container) struct NetworkArgs {
    /// `host`: this host's network; `none`: a loopback interface and nothing else
    #[arg(long, value_enum, default_value = "host", conflicts_with = "chroot")]
    network: NetworkName,
    /// Host name of the container [default: this host's; without a network, the container's id]
    #[arg(long, conflicts_with = "chroot")]
    hostname: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NetworkName {
    Host,
    None,
}

impl NetworkArgs {
    pub(in crate::cli::container) fn network(&self) -> Network {
        match self.network {
            NetworkName::Host => Network::Host,
            NetworkName::None => Network::None,
        }
    }

    pub(in crate::cli::container) fn hostname(&self) -> Option<String> {
        self.hostname.clone()
    }
}
