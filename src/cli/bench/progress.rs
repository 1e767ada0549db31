//! Shows the progress of a benchmark: a bar on a terminal, and a line for each failure.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

use super::super::output::harmless;
use crate::bench::Observer;

/// A progress bar on standard error.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new() -> Progress {
        if !io::stderr().is_terminal() {
            return Progress(ProgressBar::hidden());
        }
        let style = "[{bar:30}] {pos}/{len} {elapsed}/{duration} {msg}";
        let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
        Progress(ProgressBar::new(0).with_style(style.progress_chars("=> ")))
    }

    /// Removes the bar.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Observer for Progress {
    fn planned(&mut self, measurements: usize) {
        self.0.set_length(measurements as u64);
    }

    fn preparing(&mut self, workload: &str) {
        self.0.set_message(format!("{workload}: making the tree"));
    }

    fn measuring(&mut self, workload: &str, subject: &str, run: usize) {
        let which = if run == 0 { "warm-up".into() } else { format!("run {run}") };
        self.0.set_message(format!("{workload}: {subject}, {which}"));
    }

    fn done(&mut self, measurements: usize) {
        self.0.inc(measurements as u64);
    }

    fn failed(&mut self, workload: &str, subject: &str, why: &str) {
        self.0.suspend(|| eprintln!("overfuse: {workload}, {subject}: {}", harmless(why)));
    }
}
