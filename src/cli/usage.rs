//! What is said about a command line that cannot be parsed: one line, with the flag or command that may have been meant.
//!
//! clap finds the mistake. Its own tips are not used: they propose flags of other commands, and `--` where a flag was
//! misspelled.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Exit, output};

/// Prints the help that was asked for, or what is wrong with the command line.
pub(super) fn answer(error: &clap::Error, args: &[OsString], root: &Command) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Ignores the error: nothing can be printed.
            let _ = output::print(&error.render().to_string());
            Exit::Success
        }
        // As docker: a group without a command is a question for help.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            eprint!("{}", error.render());
            Exit::Success
        }
        _ => {
            let args: Vec<String> = args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
            let (message, exit) = mistake(error, &args, root);
            eprintln!("overfuse: {message}");
            exit
        }
    }
}

/// What is wrong with `args`, in one line. The exit code is docker's: 125 for flags, 1 for commands and arguments.
fn mistake(error: &clap::Error, args: &[String], root: &Command) -> (String, Exit) {
    let (command, path) = command_of(root, args);
    let (what, exit) = match error.kind() {
        ErrorKind::UnknownArgument => unknown_argument(&text(error, ContextKind::InvalidArg), args, command, &path),
        ErrorKind::InvalidSubcommand => {
            let name = text(error, ContextKind::InvalidSubcommand);
            (unknown_command(&name, command, &path), Exit::Failure)
        }
        ErrorKind::MissingSubcommand => (format!("{path:?} needs a command"), Exit::Failure),
        ErrorKind::MissingRequiredArgument => {
            let missing = text(error, ContextKind::InvalidArg);
            (format!("{path:?} needs {missing}"), Exit::Failure)
        }
        ErrorKind::ArgumentConflict => {
            let (one, other) = (text(error, ContextKind::InvalidArg), text(error, ContextKind::PriorArg));
            match flag(&one) == flag(&other) || other.is_empty() {
                true => (format!("{} may be given only once", flag(&one)), Exit::Usage),
                false => (format!("{} cannot be used with {}", flag(&one), flag(&other)), Exit::Usage),
            }
        }
        _ => wrong_value(error),
    };
    (format!("{} (see '{path} --help')", output::harmless(&what)), exit)
}

/// A flag that the command does not have, or an argument too many.
fn unknown_argument(given: &str, args: &[String], command: &Command, path: &str) -> (String, Exit) {
    if !given.starts_with('-') {
        return (format!("{path:?} takes no argument {given:?} here"), Exit::Failure);
    }
    // clap reports one letter of `-name`.
    let typed = args.iter().find(|arg| is_cluster_with(arg, given));
    let typed = typed.map_or(given, String::as_str);
    let wanted = typed.trim_start_matches('-').split('=').next().unwrap_or_default();
    let flags: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
    let meant = match typed.starts_with("--") || wanted.chars().count() > 2 {
        true => nearest(wanted, flags).map(|name| format!("--{name}")),
        false => None,
    };
    (format!("unknown flag {typed}{}", did_you_mean(meant)), Exit::Usage)
}

/// Whether `arg` is several letters after one dash, and `-x`, which clap reports, is one of them.
fn is_cluster_with(arg: &str, letter: &str) -> bool {
    let one_letter = letter.strip_prefix('-').filter(|rest| rest.chars().count() == 1);
    let cluster = arg.strip_prefix('-').filter(|rest| !rest.starts_with('-') && rest.chars().count() > 1);
    one_letter.zip(cluster).is_some_and(|(letter, cluster)| cluster.contains(letter))
}

fn unknown_command(name: &str, command: &Command, path: &str) -> String {
    let names = command.get_subcommands().filter(|one| !one.is_hide_set());
    let meant = nearest(name, names.flat_map(|one| std::iter::once(one.get_name()).chain(one.get_visible_aliases())));
    let of = if command.get_name() == path { "an overfuse command".into() } else { format!("a command of {path}") };
    format!("{name:?} is not {of}{}", did_you_mean(meant))
}

/// A value that is malformed, missing or too much.
fn wrong_value(error: &clap::Error) -> (String, Exit) {
    let (arg, value) = (text(error, ContextKind::InvalidArg), text(error, ContextKind::InvalidValue));
    let exit = if arg.starts_with('-') { Exit::Usage } else { Exit::Failure };
    let of = if arg.starts_with('-') { flag(&arg) } else { arg.trim_matches(['<', '>', '[', ']', '.']) };
    if error.kind() == ErrorKind::InvalidValue && value.is_empty() {
        return (format!("{of} needs a value"), exit);
    }
    let valid = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) if !valid.is_empty() => format!(": expected {}", valid.join(", ")),
        _ => String::new(),
    };
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    match value.is_empty() {
        true => (format!("wrong use of {of}{valid}{source}"), exit),
        false => (format!("{of} cannot be {value:?}{valid}{source}"), exit),
    }
}

/// The command that `args` name, and its name in full: `overfuse container rm`.
fn command_of<'a>(root: &'a Command, args: &[String]) -> (&'a Command, String) {
    let (mut command, mut path) = (root, root.get_name().to_owned());
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--root" => drop(rest.next()),
            flag if flag.starts_with('-') => {}
            name => match command.find_subcommand(name) {
                Some(found) => {
                    path = format!("{path} {}", found.get_name());
                    command = found;
                }
                None => break,
            },
        }
    }
    (command, path)
}

/// `--name` of `--name <NAME>` or of `-n, --name <NAME>`.
fn flag(shown: &str) -> &str {
    shown
        .split([' ', '=', '[', ','])
        .find(|word| word.starts_with("--"))
        .unwrap_or(shown.split(' ').next().unwrap_or(shown))
}

/// What clap says about the mistake; several arguments are joined.
fn text(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" and "),
        _ => String::new(),
    }
}

/// The one of `names` that is most like `typed`, if one is like it enough.
pub(super) fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let most = (typed.chars().count() / 3).clamp(1, 3);
    // Of two that are equally near, the one of the same length: a wrong letter is more likely than a missing one.
    let near = names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(typed, name), name.len().abs_diff(typed.len()), name));
    near.filter(|(distance, _, name)| *distance <= most && *distance < name.len()).min().map(|(.., name)| name.into())
}

fn did_you_mean(meant: Option<String>) -> String {
    meant.map(|name| format!(": did you mean {name}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn said(line: &str) -> (String, Exit) {
        let args: Vec<String> = line.split(' ').map(Into::into).collect();
        let root = crate::cli::command();
        let parsed = root.clone().try_get_matches_from(std::iter::once("overfuse".to_owned()).chain(args.clone()));
        mistake(&parsed.expect_err(line), &args, &root)
    }

    #[test]
    fn a_mistake_is_told_with_what_was_meant() {
        for (line, message, exit) in [
            (
                "mont -h",
                "\"mont\" is not an overfuse command: did you mean mount? (see 'overfuse --help')",
                Exit::Failure,
            ),
            ("rum", "\"rum\" is not an overfuse command: did you mean run? (see 'overfuse --help')", Exit::Failure),
            ("xyzzy", "\"xyzzy\" is not an overfuse command (see 'overfuse --help')", Exit::Failure),
            (
                "container lss",
                "\"lss\" is not a command of overfuse container: did you mean ls? (see 'overfuse container --help')",
                Exit::Failure,
            ),
            ("--rot x ps", "unknown flag --rot: did you mean --root? (see 'overfuse --help')", Exit::Usage),
            (
                "ps --no-trnc",
                "unknown flag --no-trnc: did you mean --no-trunc? (see 'overfuse ps --help')",
                Exit::Usage,
            ),
            ("ps --volume", "unknown flag --volume (see 'overfuse ps --help')", Exit::Usage),
            ("run --nmae x i", "unknown flag --nmae: did you mean --name? (see 'overfuse run --help')", Exit::Usage),
            ("run -name x i", "unknown flag -name: did you mean --name? (see 'overfuse run --help')", Exit::Usage),
            ("container ls -z", "unknown flag -z (see 'overfuse container ls --help')", Exit::Usage),
            ("umount", "\"overfuse umount\" needs <DIR>... (see 'overfuse umount --help')", Exit::Failure),
            ("diff a b", "\"overfuse diff\" takes no argument \"b\" here (see 'overfuse diff --help')", Exit::Failure),
            ("run --name", "--name needs a value (see 'overfuse run --help')", Exit::Usage),
            ("load --platform x y", "--platform cannot be \"x\"", Exit::Usage),
            ("commit c App", "IMAGE cannot be \"App\"", Exit::Failure),
            ("run --name a --name b i", "--name may be given only once (see 'overfuse run --help')", Exit::Usage),
            ("run --chroot --init i", "--chroot cannot be used with --init (see 'overfuse run --help')", Exit::Usage),
        ] {
            let (told, code) = said(line);
            assert!(told.starts_with(message) && !told.contains('\n'), "{line}: {told}");
            assert_eq!(code, exit, "{line}");
        }
    }
}
