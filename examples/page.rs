//! Makes a page of a report from `overfuse bench --json`, also of an older version: `page REPORT.json > page.html`.

use std::process::ExitCode;

use overfuse::bench::{Report, html};

fn main() -> ExitCode {
    let page = || -> Result<String, Box<dyn std::error::Error>> {
        let path = std::env::args_os().nth(1).ok_or("usage: page REPORT.json > page.html")?;
        let report: Report = serde_json::from_slice(&std::fs::read(path)?)?;
        Ok(html::page(&report))
    };
    match page() {
        Ok(page) => print!("{page}"),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
