//! Commands about containers.

mod commit;
mod create;
pub(super) mod diff;
pub(super) mod inspect;
mod options;
mod protect;
mod prune;
mod ps;
mod rm;
mod run;
pub(super) mod seen;
mod select;
mod trace;

use super::commands::commands;
use super::exit::or_not_started;
use super::{inspect as inspection, stats};

commands! {
    /// Commands that have a short form too: `overfuse rm` and `overfuse container rm`.
    pub(super) enum Both {
        Commit(commit::CommitArgs) => commit::run,
        Diff(diff::DiffArgs) => diff::run,
        Rm(rm::RmArgs) => rm::run,
        Run(run::RunArgs) => |global, args| or_not_started(run::run(global, args)),
        Stats(stats::StatsArgs) => stats::run,
        Trace(trace::TraceArgs) => |global, args| or_not_started(trace::run(global, args)),
    }
}

commands! {
    /// Commands of the top level that are called differently in the group.
    pub(super) enum Short {
        Ps(ps::PsArgs) => ps::run,
    }
}

commands! {
    /// The commands of `overfuse container`.
    pub(super) enum Group {
        #[command(flatten)]
        Both(Both) => Both::run,
        #[command(visible_aliases = ["list", "ps"])]
        Ls(ps::PsArgs) => ps::run,
        Inspect(inspection::ContainerInspectArgs) => inspection::containers,
        Prune(prune::PruneArgs) => prune::run,
    }
}
