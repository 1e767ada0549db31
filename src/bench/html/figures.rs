//! The charts of a page.

use super::super::chart::{self, Axis, Bar, Line, PALETTE, Point, Row as BarRow, hex};
use super::super::markup::escape;
use super::super::number;
use super::super::result::{Outcome, Report, Row, Unit};
use super::super::statistics::{Ratio, Summary};
use super::curves::{Over, curves, telling};

/// The most rows of bars in one chart; a chart with more is split.
const ROWS_MOST: usize = 9;

/// The chart with the geometric mean of the ratios of each group.
pub(super) fn glance(report: &Report) -> String {
    let Some(base) = &report.method.relative_to else { return String::new() };
    let about = format!("Geometric means of the time of each group of workloads, as multiples of {base}'s.");
    let drawn = split(means(report, base)).into_iter().map(|(part, rows)| {
        figure(
            report,
            &format!("Time, as a multiple of {base}'s{part}"),
            "geometric mean of the group",
            Some(base),
            &ratio_bars(&about, &rows),
        )
    });
    charts(drawn)
}

/// One row of bars for each group of workloads: the geometric mean of its ratios to `base`.
pub(super) fn means(report: &Report, base: &str) -> Vec<BarRow> {
    let rows = telling(&report.rows, &curves(&report.rows));
    let mut groups: Vec<BarRow> = Vec::new();
    for group in groups_of(report) {
        let others = || series(report).filter(|(_, subject)| subject != base);
        let has_ratio = |row: &&&Row| others().any(|(_, subject)| ratio(row, &subject, base).is_some());
        let of_group: Vec<&Row> = rows.iter().filter(|row| row.group == group).filter(has_ratio).copied().collect();
        let mut bars = Vec::new();
        for (series, subject) in others() {
            let ratios: Vec<Ratio> = of_group.iter().filter_map(|row| ratio(row, &subject, base)).collect();
            if ratios.is_empty() {
                continue;
            }
            let value = (ratios.iter().map(|ratio| ratio.value.ln()).sum::<f64>() / ratios.len() as f64).exp();
            // The mean should not be quoted if more than half of the ratios should not.
            let unsure = 2 * ratios.iter().filter(|ratio| ratio.is_meaningless()).count() > ratios.len();
            let mut label = if unsure { format!("({})", number::ratio(value)) } else { number::ratio(value) };
            if ratios.len() < of_group.len() {
                label += &format!(" of {}", ratios.len());
            }
            bars.push(Bar { series, value, interval: None, unsure, label });
        }
        if !bars.is_empty() {
            let count = super::plural(of_group.len(), "row");
            groups.push(BarRow { name: format!("{group} ({count})"), bars });
        }
    }
    groups
}

/// Charts of all workloads by group: ratios, or times if there is no subject to compare with.
pub(super) fn ratios(report: &Report) -> String {
    let rows = telling(&report.rows, &curves(&report.rows));
    let base = report.method.relative_to.as_deref();
    let mut drawn = Vec::new();
    for group in groups_of(report) {
        let of_group = rows.iter().filter(|row| row.group == group);
        let bar_rows = of_group.map(|row| BarRow { name: name(row), bars: bars_of(report, row, base) });
        let bar_rows: Vec<BarRow> = bar_rows.filter(|row| !row.bars.is_empty()).collect();
        for (part, rows) in split(bar_rows) {
            let title = format!("{group}{part}");
            let (about, chart) = match base {
                Some(base) => {
                    let about = format!("time, as a multiple of {base}'s");
                    let chart = ratio_bars(&format!("{title}: {about}"), &rows);
                    (about, chart)
                }
                None => {
                    let about = "seconds of one operation, or of the whole work".to_owned();
                    let axis = Axis::over(values(&rows));
                    (about.clone(), chart::bars(&format!("{title}: {about}"), &rows, &axis, None, number::round_time))
                }
            };
            drawn.push(figure(report, &title, &about, base, &chart));
        }
    }
    charts(drawn)
}

/// Charts of all curves, for instance copy-up over file size.
pub(super) fn scaling(report: &Report) -> String {
    let curves = curves(&report.rows);
    let mut drawn = Vec::new();
    for over in Over::ALL {
        for curve in curves.iter().filter(|curve| curve.over == over) {
            let row = curve.row();
            let mut lines = Vec::new();
            for (series, subject) in series(report) {
                let point = |(x, row): &(f64, &Row)| {
                    let summary = Summary::of(&row.outcome(&subject)?.seconds)?;
                    let (y, low, high) =
                        (in_unit(row, summary.median), in_unit(row, summary.low), in_unit(row, summary.high));
                    (y > 0.0).then_some(Point { x: *x, y, interval: Some((low.min(high), low.max(high))) })
                };
                let points: Vec<Point> = curve.rows.iter().filter_map(point).collect();
                if !points.is_empty() {
                    lines.push(Line { series, points });
                }
            }
            if lines.is_empty() {
                continue;
            }
            let (what, mark): (&str, fn(f64) -> String) = match row.unit {
                Unit::Time => ("time", number::round_time),
                Unit::TimePerOperation => ("time of one operation", number::round_time),
                Unit::Throughput => ("bytes in a second", |value| format!("{}/s", number::bytes(value.round()))),
            };
            let others = number::parameters(&curve.parameters());
            let title = format!("{} over {}", row.name, over.name());
            let about = [&row.about, what, &others].into_iter().filter(|part| !part.is_empty());
            let about = about.collect::<Vec<_>>().join("; ");
            let across = Axis::at(curve.rows.iter().map(|(x, _)| *x));
            let all = lines.iter().flat_map(|line| &line.points).flat_map(|point| {
                let (low, high) = point.interval.unwrap_or((point.y, point.y));
                [low, point.y, high]
            });
            let up = if row.unit == Unit::Throughput { Axis::binary(all) } else { Axis::over(all) };
            let chart = chart::lines(
                &format!("{title}: {about}"),
                &lines,
                (&across, over.name(), |value| over.mark(value)),
                (&up, mark),
            );
            drawn.push(figure(report, &title, &about, None, &chart));
        }
    }
    charts(drawn)
}

/// Charts of the distribution of latencies, for each row that has them; of a curve only both ends.
pub(super) fn latency(report: &Report) -> String {
    /// The inverse distance of a percentile from 100 %: on a logarithmic axis 90, 99 and 99.9 are equally far apart.
    fn nines(percent: f64) -> f64 {
        1.0 / (1.0 - percent / 100.0)
    }
    let mut drawn = Vec::new();
    for row in telling(&report.rows, &curves(&report.rows)) {
        let mut lines = Vec::new();
        for (series, subject) in series(report) {
            let Some(latency) = row.outcome(&subject).and_then(|outcome| outcome.latency.as_ref()) else { continue };
            // Leaves out percentiles above which there is less than one operation.
            let tells = |(percent, seconds): &&(f64, f64)| {
                (50.0..100.0).contains(percent)
                    && *seconds > 0.0
                    && (1.0 - percent / 100.0) * latency.count as f64 >= 1.0
            };
            let point = |(percent, seconds): &(f64, f64)| Point { x: nines(*percent), y: *seconds, interval: None };
            let points: Vec<Point> = latency.percentiles.iter().filter(tells).map(point).collect();
            if points.len() > 1 {
                lines.push(Line { series, points });
            }
        }
        if lines.is_empty() {
            continue;
        }
        let all = || lines.iter().flat_map(|line| &line.points);
        let furthest = all().map(|point| point.x).fold(2.0, f64::max);
        let marks = [50.0, 90.0, 99.0, 99.9, 99.99].map(nines).into_iter().filter(|x| *x <= furthest * 1.001);
        let (across, up) = (Axis::at(marks), Axis::over(all().map(|point| point.y)));
        let title = name(row);
        let percent = |x: f64| format!("{}%", number::plain((1.0 - 1.0 / x) * 100.0));
        let chart = chart::lines(
            &format!("{title}: latency percentiles"),
            &lines,
            (&across, "percentile", percent),
            (&up, number::round_time),
        );
        drawn.push(figure(report, &title, &row.about, None, &chart));
    }
    charts(drawn)
}

/// Charts of requests and system calls per operation, for subjects with counters.
pub(super) fn messages(report: &Report) -> String {
    const SERIES: [(usize, &str); 2] = [(0, "FUSE requests"), (5, "system calls at the layers")];
    let mut drawn = Vec::new();
    for (_, subject) in series(report) {
        let mut rows = Vec::new();
        for row in telling(&report.rows, &curves(&report.rows)) {
            let Some(counts) = row.outcome(&subject).and_then(|outcome| outcome.counts.as_ref()) else { continue };
            let totals = [counts.request_total(), counts.syscall_total()];
            let bar = |((series, _), total): (&(usize, &str), u64)| {
                let value = total as f64 / row.operations.max(1) as f64;
                Bar { series: *series, value, interval: None, unsure: false, label: number::plain(value) }
            };
            rows.push(BarRow { name: name(row), bars: SERIES.iter().zip(totals).map(bar).collect() });
        }
        for (part, rows) in split(rows) {
            let title = format!("{subject}: messages per operation{part}");
            // The axis begins below the smallest value, so that it has a bar; a value of 0 has none.
            let least = values(&rows).filter(|value| *value > 0.0).fold(1.0, f64::min);
            let axis = Axis::over(values(&rows).chain([least / 2.0]));
            let chart = chart::bars(&title, &rows, &axis, None, number::plain);
            let keys: String = SERIES.iter().map(|(series, name)| key(*series, name)).collect();
            drawn.push(format!(
                "<figure>\n<figcaption>{}</figcaption>\n<div class=\"keys\">{keys}</div>\n{chart}\n</figure>\n",
                escape(&title)
            ));
        }
    }
    charts(drawn)
}

/// All measured subjects, with the index of the colour that each has in all charts.
pub(super) fn series(report: &Report) -> impl Iterator<Item = (usize, String)> + '_ {
    let mut others = 0;
    report.measured().map(move |subject| {
        // Overfuse always has the first colour.
        let series = if subject.name == "overfuse" { 0 } else { 1 + others % (PALETTE.len() - 1) };
        others += usize::from(subject.name != "overfuse");
        (series, subject.name.clone())
    })
}

pub(super) fn groups_of(report: &Report) -> Vec<&str> {
    let mut groups: Vec<&str> = Vec::new();
    for row in &report.rows {
        if !groups.contains(&row.group.as_str()) {
            groups.push(&row.group);
        }
    }
    groups
}

pub(super) fn ratio(row: &Row, subject: &str, base: &str) -> Option<Ratio> {
    Ratio::of(&row.outcome(subject)?.seconds, &row.outcome(base)?.seconds)
}

/// `stat-first, 8 layers`
pub(super) fn name(row: &Row) -> String {
    let parameters = number::parameters(&row.parameters);
    if parameters.is_empty() { row.name.clone() } else { format!("{}, {parameters}", row.name) }
}

/// A sample in the unit of the row: seconds, or bytes per second.
fn in_unit(row: &Row, seconds: f64) -> f64 {
    match row.unit {
        Unit::Time => seconds,
        Unit::TimePerOperation => seconds / row.operations.max(1) as f64,
        Unit::Throughput if seconds > 0.0 => row.bytes as f64 / seconds,
        Unit::Throughput => 0.0,
    }
}

fn bars_of(report: &Report, row: &Row, base: Option<&str>) -> Vec<Bar> {
    let bar = |(series, subject): (usize, String)| match base {
        Some(base) if base == subject => None,
        Some(base) => {
            let ratio = ratio(row, &subject, base)?;
            let (unsure, text) = (ratio.is_meaningless(), number::ratio(ratio.value));
            let label = if unsure { format!("({text})") } else { text };
            Some(Bar { series, value: ratio.value, interval: Some((ratio.low, ratio.high)), unsure, label })
        }
        None => time_bar(row, series, row.outcome(&subject)?),
    };
    series(report).filter_map(bar).collect()
}

fn time_bar(row: &Row, series: usize, outcome: &Outcome) -> Option<Bar> {
    let summary = Summary::of(&outcome.seconds)?;
    let count = if row.unit == Unit::TimePerOperation { row.operations.max(1) as f64 } else { 1.0 };
    let interval = Some((summary.low / count, summary.high / count));
    let value = summary.median / count;
    Some(Bar { series, value, interval, unsure: false, label: number::time(value) })
}

fn values(rows: &[BarRow]) -> impl Iterator<Item = f64> + '_ {
    rows.iter().flat_map(|row| &row.bars).flat_map(|bar| {
        let (low, high) = bar.interval.unwrap_or((bar.value, bar.value));
        [low, bar.value, high]
    })
}

pub(super) fn ratio_bars(about: &str, rows: &[BarRow]) -> String {
    let axis = Axis::over(values(rows).chain([1.0]));
    chart::bars(about, rows, &axis, Some(1.0), |value| format!("{}×", number::plain(value)))
}

/// Splits rows into parts of about equal size that each fit a chart; each part comes with a suffix for its title.
fn split(rows: Vec<BarRow>) -> Vec<(String, Vec<BarRow>)> {
    let parts = rows.len().div_ceil(ROWS_MOST);
    if parts <= 1 {
        return if rows.is_empty() { Vec::new() } else { vec![(String::new(), rows)] };
    }
    let size = rows.len().div_ceil(parts);
    rows.chunks(size).enumerate().map(|(n, rows)| (format!(" ({} of {parts})", n + 1), rows.to_vec())).collect()
}

fn charts(drawn: impl IntoIterator<Item = String>) -> String {
    let drawn: String = drawn.into_iter().collect();
    if drawn.is_empty() { drawn } else { format!("<div class=\"charts\">\n{drawn}</div>\n") }
}

/// A chart with a title and a legend; `base`, if given, is the subject at the line of 1.
fn figure(report: &Report, title: &str, about: &str, base: Option<&str>, chart: &str) -> String {
    let keys: String =
        series(report).filter(|(_, name)| base != Some(name)).map(|(series, name)| key(series, &name)).collect();
    let (title, about) = (escape(title), escape(about));
    format!(
        "<figure>\n<figcaption>{title}<small>{about}</small></figcaption>\n<div class=\"keys\">{keys}</div>\n{chart}\n</figure>\n"
    )
}

fn key(series: usize, name: &str) -> String {
    let fill = hex(PALETTE[series % PALETTE.len()].0);
    // The marks of line charts; in bar charts only the colour matters.
    let mark = match series % 4 {
        0 => format!("<circle cx=\"5\" cy=\"5\" r=\"5\" fill=\"{fill}\"/>"),
        1 => format!("<polygon points=\"5,0 10,9 0,9\" fill=\"{fill}\"/>"),
        2 => format!("<rect x=\"0.5\" y=\"0.5\" width=\"9\" height=\"9\" fill=\"{fill}\"/>"),
        _ => format!("<path d=\"M1,1 L9,9 M9,1 L1,9\" stroke=\"{fill}\" stroke-width=\"3\"/>"),
    };
    format!("<span><svg viewBox=\"0 0 10 10\" aria-hidden=\"true\">{mark}</svg>{}</span>", escape(name))
}
