//! Compares two reports: which figures changed by more than the noise of both.

use super::result::{Parameters, Report};
use super::statistics::Summary;

/// Medians that differ by a smaller part than this count as the same.
const SMALL: f64 = 0.05;
/// The same limit when a report has fewer runs than [`ENOUGH`].
const SMALL_OF_FEW: f64 = 0.10;
/// The number of runs that a 95 % interval needs.
const ENOUGH: usize = 6;

/// The comparison of two reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// The figures that moved, the largest change first.
    pub moved: Vec<Moved>,
    /// How many figures both reports have.
    pub compared: usize,
    /// Other differences, in sentences: machine, caches, versions and mounts.
    pub notes: Vec<String>,
}

/// A figure that moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// The row's name.
    pub row: String,
    /// What the row was measured with.
    pub parameters: Parameters,
    /// Which union filesystem was measured.
    pub subject: String,
    /// Medians, in seconds.
    pub before: f64,
    /// The later median, in seconds.
    pub after: f64,
}

impl Moved {
    /// The new median divided by the old one.
    pub fn ratio(&self) -> f64 {
        self.after / self.before
    }

    /// Whether the change is beyond noise and for the worse.
    pub fn is_slower(&self) -> bool {
        self.after > self.before
    }
}

impl Comparison {
    /// Compares two reports. A figure moved when the intervals of its medians do not overlap and the medians differ by
    /// more than 5 % (10 % if one report has fewer than six runs).
    pub fn of(before: &Report, after: &Report) -> Comparison {
        let mut comparison = Comparison { notes: differences(before, after), ..Comparison::default() };
        for row in &after.rows {
            let same = before.rows.iter().find(|old| old.name == row.name && old.parameters == row.parameters);
            let Some(old) = same else { continue };
            for outcome in &row.results {
                let Some(old) = old.outcome(&outcome.subject) else { continue };
                let (Some(then), Some(now)) = (Summary::of(&old.seconds), Summary::of(&outcome.seconds)) else {
                    continue;
                };
                comparison.compared += 1;
                let few = old.seconds.len().min(outcome.seconds.len()) < ENOUGH;
                let small = if few { SMALL_OF_FEW } else { SMALL };
                let apart = now.low > then.high || now.high < then.low;
                let change = (now.median / then.median).max(then.median / now.median) - 1.0;
                if apart && change > small {
                    comparison.moved.push(Moved {
                        row: row.name.clone(),
                        parameters: row.parameters,
                        subject: outcome.subject.clone(),
                        before: then.median,
                        after: now.median,
                    });
                }
            }
        }
        let size = |moved: &Moved| moved.ratio().ln().abs();
        comparison.moved.sort_by(|a, b| size(b).total_cmp(&size(a)));
        comparison
    }

    /// How many rows became slower.
    pub fn slower(&self) -> usize {
        self.moved.iter().filter(|moved| moved.is_slower()).count()
    }
}

fn differences(before: &Report, after: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    let mut differ = |what: &str, then: &str, now: &str| {
        if then != now {
            notes.push(format!("{what}: {then} then, {now} now"));
        }
    };
    let caches = |report: &Report| if report.method.cold { "dropped" } else { "warm" };
    differ("the processor", &before.machine.cpu, &after.machine.cpu);
    differ("processors", &before.machine.cpus.to_string(), &after.machine.cpus.to_string());
    differ("the kernel", &before.machine.kernel, &after.machine.kernel);
    differ("the file system", &before.machine.filesystem, &after.machine.filesystem);
    differ("measured by", &before.method.user, &after.method.user);
    differ("caches", caches(before), caches(after));
    for subject in after.measured() {
        if let Some(old) = before.subject(&subject.name) {
            differ(&format!("version of {}", subject.name), &old.version, &subject.version);
            differ(&format!("how {} is mounted", subject.name), &old.mounted, &subject.mounted);
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::result::{FORMAT, Machine, Method, Outcome, Row, State, Subject, Unit};

    fn report(figures: &[(&str, &[f64])]) -> Report {
        let row = |(name, seconds): &(&str, &[f64])| Row {
            name: (*name).into(),
            group: "group".into(),
            about: String::new(),
            parameters: Parameters::default(),
            unit: Unit::Time,
            operations: 1,
            bytes: 0,
            results: vec![Outcome { subject: "native".into(), seconds: seconds.to_vec(), ..Outcome::default() }],
        };
        Report {
            format: FORMAT,
            command: String::new(),
            date: String::new(),
            version: String::new(),
            machine: Machine::default(),
            method: Method::default(),
            subjects: vec![Subject {
                name: "native".into(),
                version: String::new(),
                mounted: String::new(),
                state: State::Measured,
            }],
            rows: figures.iter().map(row).collect(),
            interrupted: false,
        }
    }

    #[test]
    fn changes_beyond_the_noise_are_listed_the_largest_first() {
        let before = report(&[
            ("slower", &[1.0, 1.1, 1.05]),
            ("noise", &[1.0, 2.0, 1.5]),
            ("little", &[1.0, 1.0, 1.0]),
            ("faster", &[4.0, 4.1, 4.2]),
            ("gone", &[1.0]),
            ("failed", &[1.0]),
        ]);
        let after = report(&[
            ("slower", &[1.3, 1.25, 1.4]),
            ("noise", &[2.0, 1.9, 3.0]),
            ("little", &[1.08, 1.08, 1.08]),
            ("faster", &[1.0, 1.1, 1.2]),
            ("new", &[1.0]),
            ("failed", &[]),
        ]);
        let comparison = Comparison::of(&before, &after);
        let moved: Vec<_> = comparison.moved.iter().map(|m| (m.row.as_str(), m.is_slower())).collect();
        assert_eq!(moved, [("faster", false), ("slower", true)]);
        assert_eq!((comparison.compared, comparison.slower()), (4, 1));
        assert_eq!(comparison.notes, Vec::<String>::new());
    }

    #[test]
    fn six_runs_show_smaller_changes() {
        let six = |from: f64| [from, from + 0.01, from, from, from + 0.005, from];
        let comparison = Comparison::of(&report(&[("x", &six(1.0))]), &report(&[("x", &six(1.08))]));
        assert_eq!(comparison.slower(), 1);
    }

    #[test]
    fn another_machine_is_named() {
        let before = report(&[]);
        let mut after = before.clone();
        after.machine.kernel = "6.18".into();
        after.method.cold = true;
        after.subjects[0].version = "2".into();
        let notes = Comparison::of(&before, &after).notes;
        assert_eq!(
            notes,
            ["the kernel:  then, 6.18 now", "caches: warm then, dropped now", "version of native:  then, 2 now"]
        );
    }
}
