//! Commands about containers.

mod attach;
pub(super) mod bundle;
mod commit;
mod cp;
mod create;
pub(super) mod diff;
mod each;
mod exec;
mod foreground;
mod in_process;
pub(super) mod inspect;
mod kill;
mod left_over;
mod logs;
mod network;
mod new;
mod options;
mod pause;
mod port;
pub(super) mod protect;
mod prune;
mod ps;
mod rename;
mod restart;
mod rights;
mod rm;
mod run;
pub(super) mod seen;
mod select;
mod start;
mod stop;
mod top;
mod trace;
mod update;
pub(super) mod usage;
mod wait;

use super::commands::commands;
use super::exit::or_not_started;
use super::{inspect as inspection, stats};

commands! {
    /// Commands that have a short form too: `overfuse rm` and `overfuse container rm`.
    pub(super) enum Both {
        Attach(attach::AttachCommandArgs) => attach::run,
        Commit(commit::CommitArgs) => commit::run,
        Cp(cp::CpArgs) => cp::run,
        Create(new::NewArgs) => new::run,
        Diff(diff::DiffArgs) => diff::run,
        Exec(exec::ExecArgs) => |global, args| or_not_started(exec::run(global, args)),
        Kill(kill::KillArgs) => kill::run,
        Logs(logs::LogsArgs) => logs::run,
        Pause(pause::PauseArgs) => pause::pause,
        Port(port::PortArgs) => port::run,
        Rename(rename::RenameArgs) => rename::run,
        Restart(restart::RestartArgs) => restart::run,
        Rm(rm::RmArgs) => rm::run,
        Run(run::RunArgs) => |global, args| or_not_started(run::run(global, args)),
        Start(start::StartArgs) => start::run,
        Stats(stats::StatsArgs) => stats::run,
        Stop(stop::StopArgs) => stop::run,
        Top(top::TopArgs) => top::run,
        Trace(trace::TraceArgs) => |global, args| or_not_started(trace::run(global, args)),
        Unpause(pause::UnpauseArgs) => pause::unpause,
        Update(update::UpdateArgs) => update::run,
        Wait(wait::WaitArgs) => wait::run,
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
