//! Commands about volumes.

mod create;
pub(super) mod inspect;
mod ls;
mod prune;
mod rm;

use std::collections::BTreeMap;

use super::commands::commands;
use super::inspect as inspection;
use crate::store::Volume;

commands! {
    /// The commands of `overfuse volume`.
    pub(super) enum Group {
        Create(create::CreateArgs) => create::run,
        Inspect(inspection::VolumeInspectArgs) => inspection::volumes,
        #[command(visible_alias = "list")]
        Ls(ls::LsArgs) => ls::run,
        Prune(prune::PruneArgs) => prune::run,
        #[command(visible_alias = "remove")]
        Rm(rm::RmArgs) => rm::run,
    }
}

/// The volume's labels, with the one that docker gives to anonymous volumes.
fn labels(volume: &Volume) -> BTreeMap<String, String> {
    let anonymous = volume.anonymous.then(|| ("com.docker.volume.anonymous".to_owned(), String::new()));
    volume.labels.clone().into_iter().chain(anonymous).collect()
}
