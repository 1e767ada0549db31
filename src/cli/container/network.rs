//! What the commands that run containers need to know about networks: the programs of this host, and other containers.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::container::network::{self, Programs};
use crate::container::{Network, Settings};
use crate::privilege::{self, Privilege};
use crate::store::Store;
use crate::sys;

/// The programs on `PATH` that connect private networks.
pub(super) fn programs() -> Programs {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Programs::find(&std::env::split_paths(&path).collect::<Vec<PathBuf>>())
}

/// Completes the settings of a new container. For another container's network: replaces the name that the user gave by
/// that one's ID, and takes its host name. Warns of ports that the network cannot publish, as docker does.
///
/// # Errors
/// There is no such container.
pub(super) fn complete(settings: &mut Settings, store: &Path) -> Result<()> {
    let name = match &settings.network.network {
        Network::Container(name) => name,
        Network::Private(_) => return Ok(()),
        other => {
            if settings.network.publish_all || !settings.network.publish.is_empty() {
                let other = if *other == Network::Host { "host" } else { "none" };
                eprintln!("overfuse: warning: published ports are discarded with --network {other}");
            }
            return Ok(());
        }
    };
    let target = Store::open(store)?.container(name)?;
    settings.hostname = Some(Settings::of(&target)?.hostname(&target.id));
    settings.network.network = Network::Container(target.id);
    Ok(())
}

/// For an ordinary user's container with another one's network: enters the user namespace of that one, because only
/// there this process has rights over the network. `None` where it has to enter a user namespace of its own.
///
/// # Errors
/// The other container is not running, or belongs to another user.
pub(super) fn enter_users(settings: &Settings, store: &Path) -> Result<Option<Privilege>> {
    let Network::Container(id) = &settings.network.network else { return Ok(None) };
    if sys::effective_uid() == 0 {
        return Ok(None);
    }
    let target = Store::open(store)?.container(id)?;
    let process = network::process_of(&target)?;
    let entered = privilege::enter_users_of(process);
    entered.map(Some).with_context(|| format!("cannot use the network of {}", target.name))
}
