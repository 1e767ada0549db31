//! The command line: parsing, dispatch, and everything that is printed.
//!
//! One file a command. The library below neither prints nor reads the environment; this does both.

mod exit;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use exit::Exit;

/// A union filesystem for container images, in pure userspace.
#[derive(Debug, Parser)]
#[command(name = "overfuse", version, about, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command knows.
#[derive(Debug, Args)]
struct Global {
    /// Where images and containers are kept [default: /var/lib/overfuse as root, else $XDG_DATA_HOME/overfuse]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {}

/// Runs one command line and says how it ended.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let usage = error.use_stderr();
            // Nothing is left to do when even this cannot be printed.
            let _ = error.print();
            return if usage { Exit::Usage } else { Exit::Success }.into();
        }
    };
    match run(&cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("overfuse: {error:#}");
            Exit::Failure.into()
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Exit> {
    match cli.command {}
}
