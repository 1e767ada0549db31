//! Commands about images.

mod build;
mod history;
mod images;
pub(super) mod inspect;
mod load;
mod prune;
mod rmi;
mod select;

use super::commands::commands;
use super::inspect as inspection;
pub(super) use select::labels;

commands! {
    /// Commands that have a short form too: `overfuse load` and `overfuse image load`.
    pub(super) enum Both {
        Build(build::BuildArgs) => build::run,
        History(history::HistoryArgs) => history::run,
        Load(load::LoadArgs) => load::run,
    }
}

commands! {
    /// Commands of the top level that are called differently in the group.
    pub(super) enum Short {
        Images(images::ImagesArgs) => images::run,
        Rmi(rmi::RmiArgs) => rmi::run,
    }
}

commands! {
    /// The commands of `overfuse image`.
    pub(super) enum Group {
        #[command(flatten)]
        Both(Both) => Both::run,
        #[command(visible_alias = "list")]
        Ls(images::ImagesArgs) => images::run,
        Inspect(inspection::ImageInspectArgs) => inspection::images,
        Prune(prune::PruneArgs) => prune::run,
        #[command(visible_alias = "remove")]
        Rm(rmi::RmiArgs) => rmi::run,
    }
}
