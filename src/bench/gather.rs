//! Collects samples and makes rows of a report from them.

use super::clock::{Part, Sample};
use super::result::{Daemon, Latency, Outcome, Parameters, Row, Unit};
use super::statistics::percentile;
use super::subject::Subject;
use super::workload::Selected;

/// The percentiles that a report has.
const PERCENTILES: [f64; 14] = [0.0, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 100.0];

/// The results of one session of a workload, of all subjects.
#[derive(Debug)]
pub(super) struct Gathered {
    rows: Vec<(Part, Vec<Cell>)>,
    failures: Vec<Option<String>>,
}

/// The results of one subject for one row.
#[derive(Clone, Debug, Default)]
struct Cell {
    outcome: Outcome,
    latencies: Vec<u64>,
}

impl Gathered {
    pub(super) fn new(subjects: usize) -> Gathered {
        Gathered { rows: Vec::new(), failures: vec![None; subjects] }
    }

    fn cell(&mut self, subject: usize, part: &Part) -> Option<&mut Cell> {
        let same = |known: &Part| known.name == part.name && known.parameters == part.parameters;
        let at = self.rows.iter().position(|(known, _)| same(known)).unwrap_or_else(|| {
            self.rows.push((part.clone(), vec![Cell::default(); self.failures.len()]));
            self.rows.len() - 1
        });
        self.rows.get_mut(at)?.1.get_mut(subject)
    }

    pub(super) fn add(&mut self, subject: usize, sample: Sample) {
        let Some(cell) = self.cell(subject, &sample.part) else { return };
        cell.outcome.seconds.push(sample.seconds);
        cell.outcome.counts = sample.counts.or(cell.outcome.counts.take());
        cell.outcome.written = sample.written.or(cell.outcome.written);
        if sample.part.operations > 1 {
            cell.latencies.extend(sample.latencies);
        }
    }

    pub(super) fn served_by(&mut self, subject: usize, parts: &[Part], daemon: Daemon) {
        for part in parts {
            if let Some(cell) = self.cell(subject, part) {
                cell.outcome.daemon = Some(daemon);
            }
        }
    }

    pub(super) fn fail(&mut self, subject: usize, why: &str) {
        if let Some(failure) = self.failures.get_mut(subject) {
            *failure = Some(why.into());
        }
    }

    pub(super) fn failure(&self, subject: usize) -> Option<&str> {
        self.failures.get(subject)?.as_deref()
    }

    /// The selected rows. If every subject failed before its first sample, the rows have no parameters.
    pub(super) fn into_rows(mut self, selected: &Selected, subjects: &[Subject]) -> Vec<Row> {
        let workload = selected.workload;
        if self.rows.is_empty() && self.failures.iter().any(Option::is_some) {
            let cells = vec![Cell::default(); subjects.len()];
            let parts = workload.rows.iter().map(|(name, _)| Part::new(name, Parameters::default()));
            self.rows = parts.map(|part| (Part { unit: Unit::Time, ..part }, cells.clone())).collect();
        }
        let failures = self.failures;
        let said = |cells: &[Cell]| {
            cells.iter().zip(&failures).any(|(cell, failure)| !cell.outcome.seconds.is_empty() || failure.is_some())
        };
        let wanted = self.rows.into_iter().filter(|(part, cells)| selected.wants(&part.name) && said(cells));
        let rows = wanted.map(|(part, cells)| {
            let most = cells.iter().map(|cell| cell.outcome.seconds.len()).max().unwrap_or(0);
            let outcomes = cells.into_iter().zip(subjects).zip(&failures).map(|((cell, subject), failure)| {
                let fewer = cell.outcome.seconds.len() < most.max(1);
                Outcome {
                    subject: subject.name.clone(),
                    failed: failure.clone().filter(|_| fewer),
                    latency: latency(cell.latencies),
                    ..cell.outcome
                }
            });
            Row {
                group: workload.group.into(),
                about: workload.about_row(&part.name).into(),
                parameters: part.parameters,
                unit: part.unit,
                operations: part.operations,
                bytes: part.bytes,
                results: outcomes.collect(),
                name: part.name,
            }
        });
        rows.collect()
    }
}

fn latency(nanoseconds: Vec<u64>) -> Option<Latency> {
    let mut seconds: Vec<f64> = nanoseconds.into_iter().map(|n| n as f64 / 1e9).collect();
    seconds.sort_by(f64::total_cmp);
    let percentiles: Option<Vec<_>> = PERCENTILES.iter().map(|p| Some((*p, percentile(&seconds, *p)?))).collect();
    Some(Latency { count: seconds.len() as u64, percentiles: percentiles? })
}
