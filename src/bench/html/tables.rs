//! The tables of a page.

use super::super::markup::escape;
use super::super::number;
use super::super::result::{Report, Row, State};
use super::super::statistics::Summary;
use super::curves::{curves, telling};
use super::figures::{name, ratio, series};

/// A table; columns with numbers are aligned to the right.
struct Table {
    head: String,
    numbers: Vec<bool>,
    body: String,
}

impl Table {
    /// A table with these column titles. A `#` at the start marks a column with numbers.
    fn new(titles: &[&str]) -> Table {
        let cell = |title: &&str| match title.strip_prefix('#') {
            Some(title) => format!("<th class=\"n\">{}</th>", escape(title)),
            None => format!("<th>{}</th>", escape(title)),
        };
        Table {
            head: titles.iter().map(cell).collect(),
            numbers: titles.iter().map(|title| title.starts_with('#')).collect(),
            body: String::new(),
        }
    }

    /// Adds a row. The `first` row of a group has a line above.
    fn row(&mut self, first: bool, cells: &[String]) {
        let cell = |(cell, number): (&String, &bool)| {
            let class = match (*number, cell.chars().count() > 40) {
                (true, _) => " class=\"n\"",
                (false, true) => " class=\"text\"",
                (false, false) => "",
            };
            format!("<td{class}>{}</td>", escape(cell))
        };
        let cells: String = cells.iter().zip(&self.numbers).map(cell).collect();
        self.body += &format!("<tr{}>{cells}</tr>\n", if first { " class=\"first\"" } else { "" });
    }

    fn html(&self) -> String {
        if self.body.is_empty() {
            return String::new();
        }
        let (head, body) = (&self.head, &self.body);
        format!(
            "<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n"
        )
    }
}

pub(super) fn subjects(report: &Report) -> String {
    let mut table = Table::new(&["subject", "version", "how it was mounted", "measured"]);
    for subject in &report.subjects {
        let measured = match &subject.state {
            State::Measured => "yes".to_owned(),
            State::Skipped(why) => format!("no: {why}"),
        };
        table.row(false, &[subject.name.clone(), subject.version.clone(), subject.mounted.clone(), measured]);
    }
    table.html()
}

/// FUSE requests and system calls of the daemons, for one operation.
pub(super) fn messages(report: &Report) -> String {
    let mut table = Table::new(&["workload", "subject", "#requests", "by kind", "#system calls", "by name"]);
    for row in telling(&report.rows, &curves(&report.rows)) {
        for outcome in &row.results {
            let Some(counts) = &outcome.counts else { continue };
            let each = |count: u64| number::plain(count as f64 / row.operations.max(1) as f64);
            let kinds = |map: &std::collections::BTreeMap<String, u64>| {
                let mut kinds: Vec<_> = map.iter().collect();
                kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
                let all = kinds.iter().map(|(kind, count)| format!("{kind} {}", each(**count)));
                all.collect::<Vec<_>>().join(", ")
            };
            table.row(
                false,
                &[
                    name(row),
                    outcome.subject.clone(),
                    each(counts.request_total()),
                    kinds(&counts.requests),
                    each(counts.syscall_total()),
                    kinds(&counts.syscalls),
                ],
            );
        }
    }
    table.html()
}

/// Memory and descriptors of the daemons, and the disk space that changes took.
pub(super) fn footprint(report: &Report) -> String {
    let mut daemons = Table::new(&[
        "daemon",
        "#most memory, resident",
        "after",
        "#most descriptors",
        "after ",
        "#memory at its peak",
    ]);
    for (_, subject) in series(report) {
        let of: Vec<(&Row, _)> =
            report.rows.iter().filter_map(|row| Some((row, row.outcome(&subject)?.daemon?))).collect();
        let (Some(memory), Some(open)) =
            (of.iter().max_by_key(|(_, daemon)| daemon.memory), of.iter().max_by_key(|(_, daemon)| daemon.descriptors))
        else {
            continue;
        };
        let peak = of.iter().map(|(_, daemon)| daemon.memory_peak).max().unwrap_or(0);
        daemons.row(
            false,
            &[
                subject.clone(),
                number::bytes(memory.1.memory as f64),
                name(memory.0),
                open.1.descriptors.to_string(),
                name(open.0),
                number::bytes(peak as f64),
            ],
        );
    }
    let subjects: Vec<String> = series(report).map(|(_, subject)| subject).collect();
    let own = ["change".to_owned(), "#bytes changed".to_owned()];
    let titles: Vec<String> = own.into_iter().chain(subjects.iter().map(|subject| format!("#{subject}"))).collect();
    let mut disk = Table::new(&titles.iter().map(String::as_str).collect::<Vec<_>>());
    for row in &report.rows {
        let written = |subject: &String| row.outcome(subject).and_then(|outcome| outcome.written);
        let Some(changed) = subjects.iter().find_map(written).map(|written| written.changed) else { continue };
        let cell = |subject: &String| written(subject).map_or("–".into(), |of| number::bytes(of.upper as f64));
        let cells = [name(row), number::bytes(changed as f64)].into_iter().chain(subjects.iter().map(cell));
        disk.row(false, &cells.collect::<Vec<_>>());
    }
    let headed = |title: &str, table: Table| match table.html() {
        html if html.is_empty() => html,
        html => format!("<h3>{title}</h3>\n{html}"),
    };
    headed("Memory and descriptors of the daemons", daemons)
        + &headed("Disk that the upper layer takes for a change", disk)
}

/// All figures of the report.
pub(super) fn numbers(report: &Report) -> String {
    let mut table = Table::new(&[
        "workload",
        "parameters",
        "subject",
        "#median",
        "#95 % interval",
        "#min",
        "#max",
        "#runs",
        "#ratio",
        "#interval",
        "#p50",
        "#p99",
        "#slowest",
        "note",
    ]);
    let base = report.method.relative_to.as_deref();
    for row in &report.rows {
        for (n, outcome) in row.results.iter().enumerate() {
            let summary = Summary::of(&outcome.seconds);
            let shown = |value: fn(&Summary) -> f64| summary.map_or("–".into(), |s| number::sample(row, value(&s)));
            let ratio = base.and_then(|base| ratio(row, &outcome.subject, base));
            let percentile = |wanted: f64| {
                let latency = outcome.latency.as_ref()?;
                let found = latency.percentiles.iter().find(|(percent, _)| *percent == wanted);
                found.map(|(_, seconds)| number::time(*seconds))
            };
            let mut notes: Vec<String> = outcome.failed.iter().map(|why| format!("failed: {why}")).collect();
            if ratio.is_some_and(|ratio| ratio.is_meaningless()) {
                notes.push("spread too wide for a ratio".into());
            }
            let (low, high) = (shown(|s| s.low), shown(|s| s.high));
            let blank = |text: Option<String>| text.unwrap_or_else(|| "–".into());
            table.row(
                n == 0,
                &[
                    if n == 0 { row.name.clone() } else { String::new() },
                    if n == 0 { number::parameters(&row.parameters) } else { String::new() },
                    outcome.subject.clone(),
                    shown(|s| s.median),
                    if summary.is_some() { format!("{low} – {high}") } else { low },
                    shown(|s| s.min),
                    shown(|s| s.max),
                    outcome.seconds.len().to_string(),
                    blank(ratio.map(|ratio| number::ratio(ratio.value))),
                    blank(ratio.map(|ratio| format!("{} – {}", number::ratio(ratio.low), number::ratio(ratio.high)))),
                    blank(percentile(50.0)),
                    blank(percentile(99.0)),
                    blank(percentile(100.0)),
                    notes.join("; "),
                ],
            );
        }
    }
    let what: String = report
        .rows
        .iter()
        .fold(Vec::<(&str, &str)>::new(), |mut known, row| {
            if !row.about.is_empty() && !known.iter().any(|(name, _)| *name == row.name) {
                known.push((&row.name, &row.about));
            }
            known
        })
        .iter()
        .map(|(name, about)| format!("<li><b>{}</b>: {}</li>\n", escape(name), escape(about)))
        .collect();
    let what = if what.is_empty() { what } else { format!("<h3>What each does</h3>\n<ul>\n{what}</ul>\n") };
    table.html() + &what
}
