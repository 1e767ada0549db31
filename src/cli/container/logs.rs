//! `overfuse logs`: prints what a container's command has printed.

use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};
use clap::Args;

use crate::cli::{Exit, Global, root};
use crate::container::Control;
use crate::container::log::{Query, Reader, Record, Stream, moment};
use crate::image::Instant;

/// Show the output of a container: its standard output here on standard output, its errors on standard error
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  overfuse logs --tail 20 web
  overfuse logs -f --since 10m web")]
pub(in crate::cli) struct LogsArgs {
    /// Go on with new output until the container ends
    #[arg(long, short)]
    follow: bool,
    /// Show only so many of the last lines, or `all`
    #[arg(long, short = 'n', value_name = "LINES", default_value = "all", value_parser = tail)]
    tail: Tail,
    /// Show no output before this time: 2026-01-02T03:04:05Z, seconds since 1970, or how long ago, as in 10m
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Instant>,
    /// Show no output after this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Instant>,
    /// Begin each line with its time
    #[arg(long, short)]
    timestamps: bool,
    /// A container, by name or ID
    container: String,
}

#[derive(Clone, Copy, Debug)]
struct Tail(Option<u64>);

fn tail(text: &str) -> Result<Tail> {
    match text.parse::<i64>() {
        // Docker takes negative numbers as `all`.
        Ok(lines) => Ok(Tail(u64::try_from(lines).ok())),
        Err(_) if text == "all" => Ok(Tail(None)),
        Err(_) => anyhow::bail!("{text:?} is not a number of lines"),
    }
}

fn time(text: &str) -> Result<Instant> {
    Ok(moment(text, Instant::now())?)
}

pub(in crate::cli) fn run(global: &Global, args: &LogsArgs) -> Result<Exit> {
    let container = root::open_to_read(global)?.container(&args.container)?;
    let query = Query { since: args.since, until: args.until };
    // Before the first look, so that nothing is missed between it and the first message.
    let control = if args.follow { Control::of(&container)? } else { None };
    if let Some(control) = &control {
        control.follow()?;
    }
    let cannot_read = || format!("cannot read the log of container {}", container.name);
    let mut reader = Reader::open(container.dir(), args.tail.0).with_context(cannot_read)?;
    loop {
        let goes_on = match &control {
            Some(control) => drain(&mut reader, &query, args.timestamps)? && control.logged()?,
            None => false,
        };
        if !goes_on {
            drain(&mut reader, &query, args.timestamps)?;
            return Ok(Exit::Success);
        }
    }
}

/// Prints what there is. Returns whether more can be wanted.
fn drain(reader: &mut Reader, query: &Query, timestamps: bool) -> Result<bool> {
    let (mut out, mut err) = (io::BufWriter::new(io::stdout().lock()), io::stderr().lock());
    while let Some(record) = reader.next().context("cannot read the log")? {
        if query.is_past(&record) {
            out.flush()?;
            return Ok(false);
        }
        if !query.wants(&record) {
            continue;
        }
        let shown = match record.stream {
            Stream::Stdout => print(&mut out, &record, timestamps),
            // In the order of the log, where both are one file.
            Stream::Stderr => out.flush().and_then(|()| print(&mut err, &record, timestamps)),
        };
        if !is_read(shown)? {
            return Ok(false);
        }
    }
    is_read(out.flush())
}

fn print(to: &mut impl Write, record: &Record, timestamps: bool) -> io::Result<()> {
    if timestamps {
        write!(to, "{} ", record.time)?;
    }
    to.write_all(record.log.as_bytes())
}

/// Whether somebody still reads our output.
fn is_read(result: io::Result<()>) -> Result<bool> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}
