//! The `overfuse` command: parses, runs, prints the error chain, exits.

use std::process::ExitCode;

fn main() -> ExitCode {
    overfuse::cli::main(std::env::args_os())
}
