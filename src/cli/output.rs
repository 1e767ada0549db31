//! Formats and prints results: tables, JSON, sizes and ages, in docker's style.

use std::io::{self, ErrorKind, Write};

use crate::image::Instant;
use anyhow::Result;

/// Prints `text`. A closed pipe is not an error.
///
/// # Errors
/// Standard output cannot be written to.
pub(super) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Columns, each as wide as its widest cell.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(titles: &[&str]) -> Table {
        Table { rows: vec![titles.iter().map(|&title| title.into()).collect()] }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| harmless(&cell)).collect());
    }

    /// The table's lines, each ending in a newline.
    pub(super) fn render(&self) -> String {
        const GAP: usize = 3;
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let widths: Vec<usize> = (0..columns)
            .map(|column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0) + GAP)
            .collect();
        let line = |row: &Vec<String>| {
            let padded: String = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
            format!("{}\n", padded.trim_end())
        };
        self.rows.iter().map(line).collect()
    }
}

/// Replaces control characters: text from an image must not control the terminal.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// At most `most` characters; a shortened text ends in `…`.
pub(super) fn ellipsis(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.into();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Three digits and a decimal unit: `0B`, `1.05kB`, `133MB`.
pub(super) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    loop {
        let digits = |text: &String| text.bytes().filter(u8::is_ascii_digit).count() <= 3;
        if let Some(text) = (0..=2).rev().map(|decimals| format!("{value:.decimals$}")).find(digits) {
            let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
            return format!("{short}{unit}");
        }
        match units.next() {
            Some(next) => (value, unit) = (value / 1000.0, next),
            None => return format!("{value:.0}{unit}"),
        }
    }
}

/// How long ago `at` was; `N/A` if it is unknown.
pub(super) fn since(at: Option<Instant>) -> String {
    at.map_or("N/A".into(), |at| format!("{} ago", age(Instant::now().seconds_since(at))))
}

/// A time as docker's lists have it: `2024-01-01 00:00:00 +0000 UTC`.
pub(super) fn point(at: Instant) -> String {
    let text = at.to_string();
    let seconds = text.split(['.', 'Z']).next().unwrap_or_default();
    format!("{} +0000 UTC", seconds.replace('T', " "))
}

/// The beginning of an ID, as lists show it.
pub(super) fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

/// A number of seconds, as `3 weeks`.
pub(super) fn age(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        ..1 => "Less than a second".into(),
        1 => "1 second".into(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".into(),
        120..3600 => format!("{minutes} minutes"),
        _ => match hours {
            ..2 => "About an hour".into(),
            2..48 => format!("{hours} hours"),
            48..336 => format!("{} days", hours / 24),
            336..1440 => format!("{} weeks", hours / 168),
            1440..17_520 => format!("{} months", hours / 720),
            _ => format!("{} years", hours / 8760),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (12, "12B"),
            (999, "999B"),
            (1000, "1kB"),
            (1050, "1.05kB"),
            (7_797_000, "7.8MB"),
            (9_996_000, "10MB"),
            (133_400_000, "133MB"),
            (999_600_000, "1GB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn ages_have_the_largest_unit() {
        const HOUR: i64 = 3600;
        for (seconds, text) in [
            (-5, "Less than a second ago"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "About a minute ago"),
            (3599, "59 minutes ago"),
            (HOUR, "About an hour ago"),
            (47 * HOUR, "47 hours ago"),
            (48 * HOUR, "2 days ago"),
            (15 * 24 * HOUR, "2 weeks ago"),
            (100 * 24 * HOUR, "3 months ago"),
            (1000 * 24 * HOUR, "2 years ago"),
        ] {
            assert_eq!(format!("{} ago", age(seconds)), text);
        }
        for (at, text) in [
            ("2024-01-01T10:20:30Z", "2024-01-01 10:20:30 +0000 UTC"),
            ("2024-01-01T10:20:30.5Z", "2024-01-01 10:20:30 +0000 UTC"),
        ] {
            assert_eq!(point(at.parse().unwrap()), text);
        }
    }

    #[test]
    fn columns_are_aligned_and_cells_cannot_control_the_terminal() {
        let mut table = Table::new(&["NAME", "ID"]);
        table.row(["flask".into(), "\u{1b}[31mx".into()]);
        assert_eq!(table.render(), "NAME    ID\nflask    [31mx\n");
        assert_eq!(ellipsis("abcdef", 4), "abc…");
    }
}
