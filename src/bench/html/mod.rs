//! Formats a report as one HTML page: charts, tables, the machine and the method. A pure function from report to text.
//!
//! The page is one file without external parts. It has light and dark colours and fits phones and paper. For programs
//! it is well-formed XML, and it contains the whole report as JSON.

mod curves;
mod figures;
mod picture;
mod style;
mod tables;
#[cfg(test)]
mod tests;

use super::markup::escape;
use super::number;
use super::result::{Report, State};

pub use picture::picture;

/// The page of `report`, with charts and tables of everything in it.
pub fn page(report: &Report) -> String {
    let sections = [
        ("glance", "At a glance", figures::glance(report)),
        ("ratios", "Each workload", figures::ratios(report)),
        ("scaling", "Scaling", figures::scaling(report)),
        ("latency", "Latency", figures::latency(report)),
        ("messages", "FUSE messages and system calls", figures::messages(report) + &tables::messages(report)),
        ("footprint", "Footprint", tables::footprint(report)),
        ("subjects", "Who was measured", tables::subjects(report)),
        ("method", "Method", method(report)),
        ("numbers", "All numbers", tables::numbers(report)),
    ];
    let sections = sections.iter().filter(|(_, _, content)| !content.is_empty());
    let (mut links, mut body) = (String::new(), String::new());
    for (id, title, content) in sections {
        links += &format!("<a href=\"#{id}\">{title}</a>\n");
        body += &format!("<section id=\"{id}\">\n<h2>{title}</h2>\n{content}</section>\n");
    }
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>overfuse bench, {date}</title>\n<style>\n{style}</style>\n</head>\n<body>\n\
         <header>\n<h1>Union filesystems, measured</h1>\n{summary}</header>\n<nav>\n{links}</nav>\n{body}\
         <script type=\"application/json\" id=\"report\">{json}</script>\n</body>\n</html>\n",
        date = escape(&report.date),
        style = style::sheet(),
        summary = summary(report),
        json = json(report),
    );
    without_controls(&page)
}

/// Replaces control characters: names may contain them, XML must not.
fn without_controls(document: &str) -> String {
    document.chars().map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The report as JSON, escaped so that it cannot end the element that contains it.
fn json(report: &Report) -> String {
    // Cannot fail: all keys are strings, and numbers that are not finite become null.
    let json = serde_json::to_string(report).unwrap_or_default();
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

fn summary(report: &Report) -> String {
    let machine = &report.machine;
    let mut facts = vec![
        ("Command", format!("<code>{}</code>", escape(&report.command))),
        ("Date", escape(&to_the_second(&report.date))),
        ("Overfuse", escape(&report.version)),
        ("Machine", escape(&list([&machine.cpu, &plural(machine.cpus, "CPU"), &number::bytes(machine.memory as f64)]))),
        ("Kernel", escape(&machine.kernel)),
        ("Trees in", escape(&list([&machine.directory, &machine.filesystem]))),
        ("Measured by", escape(&report.method.user)),
        ("Runs", plural(report.method.runs, "run")),
        ("Caches", if report.method.cold { "dropped before each measurement" } else { "lower layers warm" }.into()),
    ];
    if let Some(base) = &report.method.relative_to {
        facts.push(("Ratios to", escape(base)));
    }
    let facts: String = facts.iter().map(|(what, is)| format!("<div><dt>{what}</dt><dd>{is}</dd></div>\n")).collect();
    let mut notes = String::new();
    if report.interrupted {
        notes += "<p class=\"warn\">Interrupted: this is what had been measured by then.</p>\n";
    }
    let failed = report.rows.iter().flat_map(|row| &row.results).filter(|outcome| outcome.failed.is_some()).count();
    if failed > 0 {
        let results = plural(failed, "result");
        notes += &format!(
            "<p class=\"warn\">{results} failed; the reasons are with <a href=\"#numbers\">all numbers</a>.</p>\n"
        );
    }
    for subject in &report.subjects {
        if let State::Skipped(why) = &subject.state {
            notes += &format!("<p class=\"warn\">{} was not measured: {}</p>\n", escape(&subject.name), escape(why));
        }
    }
    format!("<dl>\n{facts}</dl>\n{notes}")
}

fn method(report: &Report) -> String {
    let notes: String = report.method.notes.iter().map(|note| format!("<li>{}</li>\n", escape(note))).collect();
    let ours = "<li>A figure is the median; whiskers and ranges are the interval that holds it in 95 of 100 cases, or with \
                fewer than six runs the smallest and the largest. A ratio compares times, run by run: above 1 is slower.</li>\n\
                <li>Where the interval of a ratio is so wide that it says nothing, the bar is pale and the figure in \
                brackets: not to be quoted.</li>\n";
    format!("<ul>\n{notes}{ours}</ul>\n")
}

/// An RFC 3339 date without fractions of a second.
fn to_the_second(date: &str) -> String {
    match date.split_once('.') {
        Some((seconds, parts)) => seconds.to_owned() + parts.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => date.to_owned(),
    }
}

fn list<'a>(parts: impl IntoIterator<Item = &'a String>) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
