//! `overfuse stats` of containers: what they use.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use crate::cli::output::{self, Format, Table};
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
        let rows: Vec<Row> = now.iter().map(|one| Row::new(one, before.iter().find(|old| old.id == one.id))).collect();
        print(&rows, options)?;
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
    let has_own = Settings::of(container)?.network != Network::Host;
    let network = state.process.filter(|_| runs && has_own).and_then(network_bytes);
    Ok(Sample { id: container.id.clone(), name: container.name.clone(), at: Instant::now(), usage, network })
}

/// The cells of one container.
struct Row {
    id: String,
    name: String,
    cpu: String,
    memory: String,
    memory_share: String,
    network: String,
    io: String,
    pids: String,
}

impl Row {
    fn new(now: &Sample, before: Option<&Sample>) -> Row {
        let Sample { usage, .. } = now;
        let cpu = before.and_then(|old| {
            let used = usage.cpu?.saturating_sub(old.usage.cpu?) as f64;
            Some(used * 100.0 / now.at.duration_since(old.at).as_nanos() as f64)
        });
        let memory = usage.memory.unwrap_or(0);
        let limit = usage.memory_limit.unwrap_or(u64::MAX).min(host_memory().unwrap_or(u64::MAX));
        let shown = if usage.memory.is_some() { limit } else { 0 };
        let (received, sent) = now.network.unwrap_or((0, 0));
        Row {
            id: now.id.clone(),
            name: now.name.clone(),
            cpu: format!("{:.2}%", cpu.unwrap_or(0.0)),
            memory: format!("{} / {}", binary(memory), binary(shown)),
            memory_share: format!("{:.2}%", if shown == 0 { 0.0 } else { memory as f64 * 100.0 / shown as f64 }),
            network: format!("{} / {}", output::size(received), output::size(sent)),
            io: format!("{} / {}", output::size(usage.read.unwrap_or(0)), output::size(usage.written.unwrap_or(0))),
            pids: usage.pids.unwrap_or(0).to_string(),
        }
    }
}

fn print(rows: &[Row], options: &Options<'_>) -> Result<()> {
    let id = |row: &Row| if options.no_trunc { row.id.clone() } else { row.id.chars().take(12).collect() };
    let text = match options.format {
        Format::Json => rows
            .iter()
            .map(|row| {
                let object = json!({
                    "ID": id(row),
                    "Container": id(row),
                    "Name": row.name,
                    "CPUPerc": row.cpu,
                    "MemUsage": row.memory,
                    "MemPerc": row.memory_share,
                    "NetIO": row.network,
                    "BlockIO": row.io,
                    "PIDs": row.pids,
                });
                format!("{object}\n")
            })
            .collect(),
        Format::Table => {
            let titles =
                ["CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"];
            let mut table = Table::new(&titles);
            for row in rows {
                let Row { name, cpu, memory, memory_share, network, io, pids, .. } = row;
                let cells = [&id(row), name, cpu, memory, memory_share, network, io, pids];
                table.row(cells.map(String::clone));
            }
            table.render()
        }
    };
    let clear = if options.screen && !options.no_stream { CLEAR } else { "" };
    output::print(&format!("{clear}{text}"))
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
        let row = Row::new(&sample(2, 3_500_000_000), Some(&sample(0, 500_000_000)));
        assert_eq!(row.cpu, "150.00%");
        assert_eq!(Row::new(&sample(2, 3_500_000_000), None).cpu, "0.00%");
        assert!(row.memory.starts_with("512MiB / "), "{}", row.memory);
    }
}
