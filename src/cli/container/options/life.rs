//! Options about the life of a container: how it stops, when it starts again, and how its log is kept.

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::container::log::LogSettings;
use crate::container::{Life, RestartPolicy};
use crate::sys::signal_number;

#[derive(Debug, Args)]
pub(in crate::cli::container) struct LifeArgs {
    /// Start the container again when it ends: no, on-failure[:N], always or unless-stopped. Nothing starts it after a
    /// reboot
    #[arg(long, value_name = "POLICY", default_value_t, conflicts_with = "rm")]
    restart: RestartPolicy,
    /// The signal that asks the command to end [default: the image's, or SIGTERM]
    #[arg(long, value_name = "SIGNAL", value_parser = signal)]
    stop_signal: Option<i32>,
    /// Seconds after the stop signal until the container is killed; -1: never [default: 10]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    stop_timeout: Option<i64>,
    /// Where the output is kept for `logs`
    #[arg(long, value_enum, default_value_t)]
    log_driver: LogDriver,
    /// `max-size=10m`: begin a new file of the log at this size; `max-file=3`: keep so many files
    #[arg(long, value_name = "OPTION=VALUE")]
    log_opt: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LogDriver {
    /// In the container's directory
    #[default]
    JsonFile,
    /// Nowhere
    None,
}

impl LifeArgs {
    /// # Errors
    /// An option of the log is unknown or has no valid value.
    pub(in crate::cli::container) fn life(&self) -> Result<Life> {
        let mut log = LogSettings { kept: self.log_driver == LogDriver::JsonFile, ..LogSettings::default() };
        for option in &self.log_opt {
            set(&mut log, option).with_context(|| format!("--log-opt {option}"))?;
        }
        if log.max_size.is_none() && log.max_files != 1 {
            bail!("--log-opt max-file is only of use with max-size");
        }
        Ok(Life {
            restart: self.restart,
            stop_signal: self.stop_signal,
            stop_timeout: self.stop_timeout,
            input_once: false,
            log,
        })
    }
}

fn set(log: &mut LogSettings, option: &str) -> Result<()> {
    match option.split_once('=') {
        Some(("max-size", "-1")) => log.max_size = None,
        Some(("max-size", size)) => log.max_size = Some(bytes(size).context("expected a size such as 10m")?),
        Some(("max-file", count)) => {
            let count = count.parse().ok().filter(|&count| count > 0);
            log.max_files = count.context("expected a number of files, at least 1")?;
        }
        _ => bail!("unknown: expected max-size=SIZE or max-file=COUNT"),
    }
    Ok(())
}

/// A number with the unit k, m or g (powers of 1024), or without one.
fn bytes(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let number = text.trim_end_matches('b').trim_end_matches(['k', 'm', 'g']);
    let shift = match text.strip_prefix(number)?.trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|&size| size > 0)
}

/// Parses a signal's name or number.
pub(in crate::cli) fn signal(text: &str) -> Result<i32> {
    signal_number(text).with_context(|| format!("{text:?} is not a signal: expected a name such as TERM, or a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_log_are_read_as_docker_reads_them() {
        let with = |max_size, max_files| Some(LogSettings { kept: true, max_size, max_files });
        for (option, expected) in [
            ("max-size=10", with(Some(10), 1)),
            ("max-size=10k", with(Some(10 << 10), 1)),
            ("max-size=2MB", with(Some(2 << 20), 1)),
            ("max-size=1g", with(Some(1 << 30), 1)),
            ("max-size=-1", with(None, 1)),
            ("max-file=3", with(None, 3)),
            ("max-size=0", None),
            ("max-size=10x", None),
            ("max-size=mk", None),
            ("max-size=99999999999999999999", None),
            ("max-file=0", None),
            ("max-file=-1", None),
            ("max-size", None),
            ("tag=x", None),
        ] {
            let mut log = LogSettings::default();
            assert_eq!(set(&mut log, option).ok().map(|()| log), expected, "{option}");
        }
    }
}
