//! How a command is registered: one line in a list, which makes both the subcommand and the call.
//!
//! ```text
//! cli::Command                     overfuse …
//!   container::Both   (flattened)    run, rm, commit …           both `overfuse rm` and `overfuse container rm`
//!   container::Short  (flattened)    ps                          only `overfuse ps`: its group says `container ls`
//!   container::Group                 container ls|inspect|prune  and those of Both
//!   image::Both, Short, Group        the same for images
//! ```
//!
//! A command of both forms is one line in `Both`, and has one `Args`.

use clap::{Args, Subcommand};

use super::{Exit, Global};

/// Makes an enum of subcommands from lines `Variant(ArgsType) => function`.
macro_rules! commands {
    ($(#[$about:meta])* $visible:vis enum $name:ident {
        $($(#[$attribute:meta])* $variant:ident($args:ty) => $run:expr,)*
    }) => {
        $(#[$about])*
        #[derive(Debug, clap::Subcommand)]
        #[allow(clippy::large_enum_variant, reason = "one value in a process")]
        $visible enum $name { $($(#[$attribute])* $variant($args),)* }

        impl $crate::cli::commands::Run for $name {
            fn run(global: &$crate::cli::Global, command: &Self) -> anyhow::Result<$crate::cli::Exit> {
                match command { $($name::$variant(args) => $run(global, args),)* }
            }
        }
    };
}
pub(super) use commands;

/// A list of commands, one of which was asked for.
pub(super) trait Run: Subcommand {
    /// # Errors
    /// Those of the command.
    fn run(global: &Global, command: &Self) -> anyhow::Result<Exit>;
}

// No doc comment: it would replace the description of each group.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct GroupArgs<Commands: Run> {
    #[command(subcommand)]
    command: Commands,
}

/// Runs the command of a group: `overfuse container rm`.
pub(super) fn group<Commands: Run>(global: &Global, args: &GroupArgs<Commands>) -> anyhow::Result<Exit> {
    Commands::run(global, &args.command)
}

/// The names of the commands in a list, without those that are hidden.
pub(super) fn names<Commands: Subcommand>() -> Vec<String> {
    let all = Commands::augment_subcommands(clap::Command::new("list"));
    all.get_subcommands().filter(|one| !one.is_hide_set()).map(|one| one.get_name().to_owned()).collect()
}
