//! Formats a report as tables: medians with spread, and ratios to one subject.

use crate::bench::number;
use crate::bench::result::{Outcome, Report, Row, State};
use crate::bench::statistics::{Ratio, Summary};

use super::super::output::{Table, harmless};

/// The whole report.
pub(super) fn render(report: &Report) -> String {
    let mut text = machine(report);
    let mut groups: Vec<&str> = Vec::new();
    for row in &report.rows {
        if !groups.contains(&row.group.as_str()) {
            groups.push(&row.group);
        }
    }
    for group in groups {
        let rows: Vec<&Row> = report.rows.iter().filter(|row| row.group == group).collect();
        text += &times(report, group, &rows);
        text.push('\n');
    }
    text += &counted(report);
    text += &served(report);
    text += &written(report);
    text += &remarks(report);
    text
}

/// One line about the machine and the method.
fn machine(report: &Report) -> String {
    let (machine, method) = (&report.machine, &report.method);
    let caches = if method.cold { "caches dropped" } else { "lower pages warm" };
    let line = format!(
        "Linux {}, {} CPUs ({}), {} in {}, by {}, {} runs, {caches}",
        machine.kernel, machine.cpus, machine.cpu, machine.filesystem, machine.directory, method.user, method.runs
    );
    format!("{}\n\n", harmless(&line))
}

fn titles<'a>(report: &'a Report, first: &'a str) -> Vec<&'a str> {
    [first, ""].into_iter().chain(report.measured().map(|subject| subject.name.as_str())).collect()
}

fn times(report: &Report, group: &str, rows: &[&Row]) -> String {
    let title = group.to_uppercase();
    let mut table = Table::new(&titles(report, &title));
    for row in rows {
        let cells = report.measured().map(|subject| cell(report, row, &subject.name));
        table.row([row.name.clone(), number::parameters(&row.parameters)].into_iter().chain(cells));
    }
    table.render()
}

/// Median, spread and ratio: `12.3 µs ±4% 3.2×`.
fn cell(report: &Report, row: &Row, subject: &str) -> String {
    let Some(outcome) = row.outcome(subject) else { return "–".into() };
    let mut text = match Summary::of(&outcome.seconds) {
        Some(summary) if outcome.seconds.len() > 1 => {
            format!("{} ±{:.0}%", number::sample(row, summary.median), summary.spread() * 100.0)
        }
        Some(summary) => format!("{} ±?", number::sample(row, summary.median)),
        None if outcome.failed.is_some() => return "failed".into(),
        None => return "–".into(),
    };
    if let Some(ratio) = ratio(report, row, outcome) {
        let doubt = if ratio.is_meaningless() { "~" } else { "" };
        text += &format!(" {doubt}{}", number::ratio(ratio.value));
    }
    if outcome.failed.is_some() {
        text += ", then failed";
    }
    text
}

/// The ratio to the subject that others are compared with; `None` for that subject itself.
fn ratio(report: &Report, row: &Row, outcome: &Outcome) -> Option<Ratio> {
    let other = report.method.relative_to.as_deref().filter(|other| *other != outcome.subject)?;
    Ratio::of(&outcome.seconds, &row.outcome(other)?.seconds)
}

/// Requests and system calls per operation, where they were counted.
fn counted(report: &Report) -> String {
    let mut table = Table::new(&["PER OPERATION", "", "REQUESTS", "SYSCALLS", "WHICH", ""]);
    let mut any = false;
    for row in &report.rows {
        for outcome in &row.results {
            let Some(counts) = &outcome.counts else { continue };
            let each = |n: u64| format!("{:.2}", n as f64 / row.operations.max(1) as f64);
            let mut kinds: Vec<(&String, &u64)> = counts.requests.iter().chain(&counts.syscalls).collect();
            kinds.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
            let most: Vec<String> = kinds.iter().take(5).map(|(kind, n)| format!("{kind} {}", each(**n))).collect();
            any = true;
            table.row([
                row.name.clone(),
                number::parameters(&row.parameters),
                each(counts.request_total()),
                each(counts.syscall_total()),
                most.join(", "),
                if outcome.subject == "overfuse" { String::new() } else { outcome.subject.clone() },
            ]);
        }
    }
    if any { table.render() + "\n" } else { String::new() }
}

/// Memory and descriptors of the daemons.
fn served(report: &Report) -> String {
    let size = |bytes: u64| number::bytes(bytes as f64);
    // Rows of one measurement share these values.
    let rows = report.rows.iter().filter(|row| !is_repeated(report, row));
    by_subject(report, "DAEMON AFTER IT: RESIDENT, PEAK, DESCRIPTORS", rows, |outcome| {
        let daemon = outcome.daemon?;
        Some(format!("{}, {}, {}", size(daemon.memory), size(daemon.memory_peak), daemon.descriptors))
    })
}

/// A table with `cell` of each subject's outcome. Leaves out rows without any cell.
fn by_subject<'a>(
    report: &Report,
    title: &str,
    rows: impl Iterator<Item = &'a Row>,
    cell: impl Fn(&Outcome) -> Option<String>,
) -> String {
    let mut table = Table::new(&titles(report, title));
    let mut any = false;
    for row in rows {
        let cells = report.measured().map(|subject| row.outcome(&subject.name).and_then(&cell));
        let cells: Vec<Option<String>> = cells.collect();
        if cells.iter().any(Option::is_some) {
            any = true;
            let cells = cells.into_iter().map(|cell| cell.unwrap_or("–".into()));
            table.row([row.name.clone(), number::parameters(&row.parameters)].into_iter().chain(cells));
        }
    }
    if any { table.render() + "\n" } else { String::new() }
}

/// Whether the next row is of the same measurement. Its values are the same then, and only the last row shows them.
fn is_repeated(report: &Report, row: &Row) -> bool {
    let at = report.rows.iter().position(|other| std::ptr::eq(other, row));
    let next = at.and_then(|at| report.rows.get(at + 1));
    let daemons = |row: &Row| row.results.iter().map(|outcome| outcome.daemon).collect::<Vec<_>>();
    next.is_some_and(|next| daemons(next) == daemons(row))
}

/// A table of the bytes in the upper layer, compared with the bytes that were changed.
fn written(report: &Report) -> String {
    by_subject(report, "IN THE UPPER LAYER, OF WHAT WAS CHANGED", report.rows.iter(), |outcome| {
        number::amplification(outcome.written?)
    })
}

/// Notes below the tables: failures, skipped subjects, uncertain ratios, and the meaning of the signs.
fn remarks(report: &Report) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut failures: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for row in &report.rows {
        for outcome in &row.results {
            let Some(why) = outcome.failed.as_deref() else { continue };
            let known = failures.iter_mut().find(|(subject, reason, _)| *subject == outcome.subject && *reason == why);
            match known {
                Some((_, _, rows)) => rows.push(&row.name),
                None => failures.push((&outcome.subject, why, vec![&row.name])),
            }
        }
    }
    lines.extend(failures.into_iter().map(|(subject, why, mut rows)| {
        rows.dedup();
        format!("failed: {subject}: {}: {why}", rows.join(", "))
    }));
    for subject in &report.subjects {
        if let State::Skipped(why) = &subject.state {
            lines.push(format!("skipped: {}: {why}", subject.name));
        }
    }
    let unsure = report.rows.iter().flat_map(|row| row.results.iter().map(move |outcome| (row, outcome)));
    let unsure =
        unsure.filter(|(row, outcome)| ratio(report, row, outcome).is_some_and(|r| r.is_meaningless())).count();
    if unsure > 0 {
        lines.push(format!("~ {unsure} ratios are too uncertain to quote: use more --runs, or a quieter machine"));
    }
    if let Some(other) = &report.method.relative_to {
        lines.push(format!("× times of {other}; ± half of the 95 % interval of the median"));
    }
    if report.interrupted {
        lines.push("not complete: some rows were not measured".into());
    }
    lines.iter().map(|line| format!("{}\n", harmless(line))).collect()
}
