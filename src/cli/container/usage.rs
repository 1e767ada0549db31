//! `overfuse stats` of containers: what they use.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cli::format::{Format, Listing, Row};
use crate::cli::output;
use crate::cli::{Exit, Global, root};
use crate::container::{Network, Settings, State, Status, Usage, host_memory, network_bytes};
use crate::store::{Container, Store};

/// How long CPU time is counted for a percentage.
const INTERVAL: Duration = Duration::from_secs(1);

/// Moves the cursor to the top and clears the screen.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// What to show of which containers.
#[derive(Debug)]
pub(in crate::cli) struct Options<'a> {
    /// All that run, if empty.
    pub(in crate::cli) names: &'a [String],
    /// Those that do not run, too.
    pub(in crate::cli) all: bool,
    pub(in crate::cli) no_stream: bool,
    pub(in crate::cli) no_trunc: bool,
    pub(in crate::cli) format: Format,
    /// Whether the output is a terminal, whose screen shows the newest figures alone.
    pub(in crate::cli) screen: bool,
}

/// Prints the usage once, or every second until the process is killed.
pub(in crate::cli) fn run(global: &Global, options: &Options<'_>) -> Result<Exit> {
    let store = root::open_to_read(global)?;
    let mut before = sample(&store, options)?;
    loop {
        thread::sleep(INTERVAL);
        let now = sample(&store, options)?;
        let old = |one: &Sample| before.iter().find(|old| old.id == one.id);
        let rows = now.iter().map(|one| row(one, old(one), options.no_trunc)).collect();
        if options.screen && !options.no_stream {
            output::print(CLEAR)?;
        }
        Listing { fields: &FIELDS, shown: SHOWN.to_vec() }.print(&options.format, rows)?;
        if options.no_stream {
            return Ok(Exit::Success);
        }
        before = now;
    }
}

/// What one container has used at one moment.
struct Sample {
    id: String,
    name: String,
    at: Instant,
    usage: Usage,
    network: Option<(u64, u64)>,
}

fn sample(store: &Store, options: &Options<'_>) -> Result<Vec<Sample>> {
    let containers = match options.names {
        [] => store.containers()?,
        names => names.iter().map(|name| store.container(name)).collect::<std::result::Result<_, _>>()?,
    };
    let mut samples = Vec::new();
    for container in containers {
        let state = State::of(&container)?;
        let runs = matches!(state.status, Status::Running | Status::Paused);
        if runs || options.all || !options.names.is_empty() {
            samples.push(one(&container, &state)?);
        }
    }
    Ok(samples)
}

fn one(container: &Container, state: &State) -> Result<Sample> {
    let runs = matches!(state.status, Status::Running | Status::Paused);
    let usage = match state.cgroup(container) {
        Ok(cgroup) if runs => cgroup.usage(),
        Err(error) if runs => bail!("container {}: {error}", container.name),
        _ => Usage::default(),
    };
    // The host's network counts for all.
    let has_own = Settings::of(container)?.network.network != Network::Host;
    let network = state.process.filter(|_| runs && has_own).and_then(network_bytes);
    Ok(Sample { id: container.id.clone(), name: container.name.clone(), at: Instant::now(), usage, network })
}

/// The fields of a row and their titles.
const FIELDS: [(&str, &str); 9] = [
    ("ID", "CONTAINER ID"),
    ("Container", "CONTAINER"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

const SHOWN: [&str; 8] = ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];

fn row(now: &Sample, before: Option<&Sample>, no_trunc: bool) -> Row {
    let Sample { usage, .. } = now;
    let cpu = before.and_then(|old| {
        let used = usage.cpu?.saturating_sub(old.usage.cpu?) as f64;
        Some(used * 100.0 / now.at.duration_since(old.at).as_nanos() as f64)
    });
    let memory = usage.memory.unwrap_or(0);
    let limit = usage.memory_limit.unwrap_or(u64::MAX).min(host_memory().unwrap_or(u64::MAX));
    let limit = if usage.memory.is_some() { limit } else { 0 };
    let share = if limit == 0 { 0.0 } else { memory as f64 * 100.0 / limit as f64 };
    let (received, sent) = now.network.unwrap_or((0, 0));
    let id: String = if no_trunc { now.id.clone() } else { now.id.chars().take(12).collect() };
    Row::new([
        ("ID", id.clone()),
        ("Container", id),
        ("Name", now.name.clone()),
        ("CPUPerc", format!("{:.2}%", cpu.unwrap_or(0.0))),
        ("MemUsage", format!("{} / {}", binary(memory), binary(limit))),
        ("MemPerc", format!("{share:.2}%")),
        ("NetIO", format!("{} / {}", output::size(received), output::size(sent))),
        (
            "BlockIO",
            format!("{} / {}", output::size(usage.read.unwrap_or(0)), output::size(usage.written.unwrap_or(0))),
        ),
        ("PIDs", usage.pids.unwrap_or(0).to_string()),
    ])
}

/// A size in powers of 1024, as docker shows memory: `1.5GiB`.
fn binary(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter().peekable();
    while let Some(unit) = units.next() {
        if value < 1024.0 || units.peek().is_none() {
            let digits = if value >= 100.0 {
                1
            } else if value >= 10.0 {
                2
            } else {
                3
            };
            let text = format!("{value:.digits$}");
            return format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'));
        }
        value /= 1024.0;
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shown_in_binary_units() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1536, "1.5KiB"),
            (16 << 20, "16MiB"),
            (3 << 29, "1.5GiB"),
            (123_456_789, "117.7MiB"),
            (1 << 50, "1024TiB"),
        ] {
            assert_eq!(binary(bytes), text);
        }
    }

    #[test]
    fn a_share_of_cpu_time_is_what_was_used_between_two_samples() {
        let at = Instant::now();
        let sample = |seconds, cpu| Sample {
            id: "i".into(),
            name: "n".into(),
            at: at + Duration::from_secs(seconds),
            usage: Usage { cpu: Some(cpu), memory: Some(512 << 20), memory_limit: Some(1 << 30), ..Usage::default() },
            network: None,
        };
        let (before, now) = (sample(0, 500_000_000), sample(2, 3_500_000_000));
        let shown = row(&now, Some(&before), false);
        assert_eq!(shown.cell("CPUPerc"), "150.00%");
        assert_eq!(row(&now, None, false).cell("CPUPerc"), "0.00%");
        assert!(shown.cell("MemUsage").starts_with("512MiB / "), "{shown:?}");
    }
}
