//! The command line: parses arguments, runs commands and prints results.
//!
//! One file for each command; those about containers and about images are in `container` and `image`. Only this module prints and reads the environment; the library does neither.

mod bench;
mod completion;
mod container;
mod demo;
mod exit;
mod ids;
mod image;
mod inspect;
mod mount;
mod output;
mod root;
mod stats;
mod umount;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

pub use exit::Exit;

use container::{attach, commit, diff, kill, logs, new, ps, rename, restart, rm, run, start, stop, trace, wait};
use image::{history, images, load, rmi};

/// A union filesystem for container images, in pure userspace.
#[derive(Debug, Parser)]
#[command(name = "overfuse", version, about, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// The options of every command.
#[derive(Debug, Args)]
struct Global {
    /// Where images and containers are kept [default: /var/lib/overfuse as root, else $XDG_DATA_HOME/overfuse]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Attach(attach::AttachCommandArgs),
    Bench(bench::BenchArgs),
    Commit(commit::CommitArgs),
    Completion(completion::CompletionArgs),
    Create(new::NewArgs),
    Demo(demo::DemoArgs),
    Diff(diff::DiffArgs),
    History(history::HistoryArgs),
    Images(images::ImagesArgs),
    Inspect(inspect::InspectArgs),
    Kill(kill::KillArgs),
    Load(load::LoadArgs),
    Logs(logs::LogsArgs),
    Mount(mount::MountArgs),
    Ps(ps::PsArgs),
    Rename(rename::RenameArgs),
    Restart(restart::RestartArgs),
    Rm(rm::RmArgs),
    Rmi(rmi::RmiArgs),
    Run(run::RunArgs),
    Start(start::StartArgs),
    Stats(stats::StatsArgs),
    Stop(stop::StopArgs),
    Trace(trace::TraceArgs),
    Umount(umount::UmountArgs),
    Wait(wait::WaitArgs),
}

/// Runs one command line and returns its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(with_command(args.into_iter().collect())) {
        Ok(cli) => cli,
        Err(error) => {
            let usage = error.use_stderr();
            // Ignores the error: nothing can be printed.
            let _ = error.print();
            return if usage { Exit::Usage } else { Exit::Success }.into();
        }
    };
    log_to_stderr();
    match execute(&cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("overfuse: {error:#}");
            Exit::Failure.into()
        }
    }
}

/// Writes the library's log to standard error: warnings, or the level in `OVERFUSE_LOG` (`error` to `trace`).
fn log_to_stderr() {
    let asked = std::env::var("OVERFUSE_LOG").ok().and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(asked.unwrap_or(LevelFilter::WARN))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .init();
}

/// Inserts `mount` into a command line without a command: other programs call `overfuse -o OPTIONS [SOURCE] DIR`, or
/// give the options last.
fn with_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let is_option = |arg: &OsString| arg.as_encoded_bytes().starts_with(b"-o");
    let Some(first) = args.get(1) else { return args };
    // An option of overfuse can only be followed by a command of overfuse.
    let ours = first.as_encoded_bytes().starts_with(b"--");
    let named = ours || Cli::command().find_subcommand(first).is_some() || first == "help";
    let flat = is_option(first) || (!named && args.iter().skip(2).any(is_option));
    if flat {
        args.insert(1, "mount".into());
    }
    args
}

fn execute(cli: &Cli) -> anyhow::Result<Exit> {
    match &cli.command {
        Command::Attach(args) => attach::run(&cli.global, args),
        Command::Bench(args) => bench::run(args),
        Command::Commit(args) => commit::run(&cli.global, args),
        Command::Completion(args) => completion::run(&cli.global, args),
        Command::Create(args) => new::run(&cli.global, args),
        Command::Demo(args) => demo::run(args),
        Command::Diff(args) => diff::run(&cli.global, args),
        Command::History(args) => history::run(&cli.global, args),
        Command::Images(args) => images::run(&cli.global, args),
        Command::Inspect(args) => inspect::run(&cli.global, args),
        Command::Kill(args) => kill::run(&cli.global, args),
        Command::Load(args) => load::run(&cli.global, args),
        Command::Logs(args) => logs::run(&cli.global, args),
        Command::Mount(args) => mount::run(&cli.global, args),
        Command::Ps(args) => ps::run(&cli.global, args),
        Command::Rename(args) => rename::run(&cli.global, args),
        Command::Restart(args) => restart::run(&cli.global, args),
        Command::Rm(args) => rm::run(&cli.global, args),
        Command::Rmi(args) => rmi::run(&cli.global, args),
        Command::Run(args) => run::run(&cli.global, args),
        Command::Start(args) => start::run(&cli.global, args),
        Command::Stats(args) => stats::run(&cli.global, args),
        Command::Stop(args) => stop::run(&cli.global, args),
        Command::Trace(args) => trace::run(&cli.global, args),
        Command::Umount(args) => umount::run(&cli.global, args),
        Command::Wait(args) => wait::run(&cli.global, args),
    }
}
