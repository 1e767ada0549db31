//! The help of `overfuse` itself: its commands, under a heading for what each is about.

use clap::{Arg, ArgAction, Command};

/// Gives `root` a help that lists its commands under headings. Groups of commands and the rest have headings of their
/// own.
pub(super) fn grouped(root: Command, headings: &[(&str, Vec<String>)]) -> Command {
    let named = |name: &str| headings.iter().find(|(_, names)| names.iter().any(|of| of == name)).map(|(of, _)| *of);
    let heading = |command: &Command| match named(command.get_name()) {
        Some(heading) => heading,
        None if command.has_subcommands() => "Management commands",
        None => "More commands",
    };
    let mut commands: Vec<&Command> = root.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    commands.sort_by_key(|command| command.get_name().to_owned());
    let width = commands.iter().map(|command| command.get_name().len()).max().unwrap_or(0);
    let mut text = String::new();
    for title in headings.iter().map(|(title, _)| *title).chain(["Management commands", "More commands"]) {
        text += &format!("\n{title}:\n");
        for command in commands.iter().filter(|command| heading(command) == title) {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            text += &format!("  {:width$}  {}\n", command.get_name(), about.trim_end_matches('.'));
        }
    }
    let template = format!("{{about}}\n\n{{usage-heading}} {{usage}}\n{text}\nOptions:\n{{options}}{{after-help}}");
    // Docker has -v, clap -V.
    let version = Arg::new("version").short('v').short_alias('V').long("version").action(ArgAction::Version);
    let root = root.disable_version_flag(true).arg(version.help("Print version"));
    root.help_template(template).override_usage("overfuse [OPTIONS] COMMAND").after_help(
        "`overfuse COMMAND --help` tells more about a command. A command about containers or images can also be given \
         in two words: `overfuse container run`, `overfuse image rm`.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &Command, path: &str, missing: &mut Vec<String>) {
        if command.get_about().is_none() {
            missing.push(path.to_owned());
        }
        let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
        let without = shown.filter(|arg| arg.get_help().is_none_or(|help| help.to_string().is_empty()));
        missing.extend(without.map(|arg| format!("{path} {}", arg.get_id())));
        for one in command.get_subcommands() {
            check(one, &format!("{path} {}", one.get_name()), missing);
        }
    }

    #[test]
    fn every_command_and_every_argument_has_help() {
        let mut missing = Vec::new();
        check(&crate::cli::command(), "overfuse", &mut missing);
        assert!(missing.is_empty(), "without help: {missing:#?}");
    }
}
