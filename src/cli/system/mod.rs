//! Commands about the program, the store as a whole, and what this host allows.

mod df;
mod host;
mod info;
mod version;

use super::commands::commands;

commands! {
    /// Commands that have a short form too: `overfuse info` and `overfuse system info`.
    pub(super) enum Both {
        Info(info::InfoArgs) => info::run,
    }
}

commands! {
    /// Commands of the top level alone.
    pub(super) enum Short {
        Version(version::VersionArgs) => version::run,
    }
}

commands! {
    /// The commands of `overfuse system`.
    pub(super) enum Group {
        #[command(flatten)]
        Both(Both) => Both::run,
        Df(df::DfArgs) => df::run,
    }
}
