//! The command line: parses arguments, runs commands and prints results.
//!
//! One file for each command; those about containers and about images are in `container` and `image`, and `commands` says
//! how a command is registered. Only this module prints and reads the environment; the library does neither.
#![doc = include_str!("words.md")]

mod bench;
mod commands;
mod completion;
mod confirm;
mod container;
mod demo;
mod exit;
mod filter;
mod format;
mod help;
mod ids;
mod image;
mod inspect;
mod mount;
mod output;
mod root;
mod stats;
mod system;
mod template;
mod umount;
mod usage;
mod volume;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser};
use tracing::level_filters::LevelFilter;

pub use exit::Exit;

use commands::{GroupArgs, Run as _, commands, group};

/// A union filesystem for container images, in pure userspace.
#[derive(Debug, Parser)]
#[command(name = "overfuse", version, about)]
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
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    root: Option<PathBuf>,
}

commands! {
    /// Every command of the top level.
    enum Command {
        #[command(flatten)]
        Containers(container::Both) => container::Both::run,
        #[command(flatten)]
        ContainersShort(container::Short) => container::Short::run,
        #[command(flatten)]
        Images(image::Both) => image::Both::run,
        #[command(flatten)]
        ImagesShort(image::Short) => image::Short::run,
        #[command(flatten)]
        Mounts(Mounts) => Mounts::run,
        /// Manage containers
        Container(GroupArgs<container::Group>) => group,
        /// Manage images
        Image(GroupArgs<image::Group>) => group,
        /// Manage volumes
        Volume(GroupArgs<volume::Group>) => group,
        #[command(flatten)]
        SystemBoth(system::Both) => system::Both::run,
        #[command(flatten)]
        SystemShort(system::Short) => system::Short::run,
        /// Look after the store as a whole
        System(GroupArgs<system::Group>) => group,
        Bench(bench::BenchArgs) => |_, args| bench::run(args),
        Completion(completion::CompletionArgs) => completion::run,
        Demo(demo::DemoArgs) => |_, args| demo::run(args),
        Inspect(inspect::InspectArgs) => inspect::run,
    }
}

commands! {
    /// Commands about mounts.
    enum Mounts {
        Bundle(container::bundle::BundleArgs) => container::bundle::run,
        Mount(mount::MountArgs) => mount::run,
        Umount(umount::UmountArgs) => umount::run,
    }
}

/// Runs one command line and returns its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = with_command(args.into_iter().collect());
    let parsed = command().try_get_matches_from(&args).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return usage::answer(&error, &args, &command()).into(),
    };
    log_to_stderr();
    match Command::run(&cli.global, &cli.command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            exit::report(&error);
            exit::of_error(&error).into()
        }
    }
}

/// The command line, with help that lists the commands by what they are about.
fn command() -> clap::Command {
    let lists = [
        ("Containers", [commands::names::<container::Both>(), commands::names::<container::Short>()].concat()),
        ("Images", [commands::names::<image::Both>(), commands::names::<image::Short>()].concat()),
        ("Mounts", commands::names::<Mounts>()),
    ];
    help::grouped(Cli::command(), &lists)
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
