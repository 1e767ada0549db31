//! Finds the rows of a report that are points of one curve.

use super::super::number;
use super::super::result::{Parameters, Row};

/// The parameter that varies along a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Size,
    Layers,
    Files,
    Threads,
}

/// Rows with one name that differ only in one parameter.
#[derive(Debug)]
pub(super) struct Curve<'a> {
    pub(super) over: Over,
    /// Each row with its value of the parameter, rising.
    pub(super) rows: Vec<(f64, &'a Row)>,
}

impl Over {
    pub(super) const ALL: [Over; 4] = [Over::Size, Over::Layers, Over::Files, Over::Threads];

    /// The name of the axis.
    pub(super) fn name(self) -> &'static str {
        match self {
            Over::Size => "size of the file",
            Over::Layers => "layers",
            Over::Files => "files",
            Over::Threads => "clients at once",
        }
    }

    /// The text of a mark of the axis.
    pub(super) fn mark(self, value: f64) -> String {
        if self == Over::Size { number::bytes(value.round()) } else { number::grouped(value as u64) }
    }

    fn of(self, parameters: &Parameters) -> Option<f64> {
        match self {
            Over::Size => parameters.size.map(|size| size as f64),
            Over::Layers => parameters.layers.map(f64::from),
            Over::Files => parameters.files.map(|files| files as f64),
            Over::Threads => parameters.threads.map(f64::from),
        }
    }

    fn without(self, parameters: &Parameters) -> Parameters {
        match self {
            Over::Size => Parameters { size: None, ..*parameters },
            Over::Layers => Parameters { layers: None, ..*parameters },
            Over::Files => Parameters { files: None, ..*parameters },
            Over::Threads => Parameters { threads: None, ..*parameters },
        }
    }

    /// The fewest points that make a curve.
    fn fewest(self) -> usize {
        if self == Over::Threads { 2 } else { 3 }
    }
}

impl Curve<'_> {
    /// The first row; name, group and unit are the same in all rows.
    pub(super) fn row(&self) -> &Row {
        self.rows[0].1
    }

    /// The parameters that all rows share.
    pub(super) fn parameters(&self) -> Parameters {
        self.over.without(&self.row().parameters)
    }
}

/// All curves of `rows`, in the order of [`Over::ALL`] and then of the rows.
pub(super) fn curves(rows: &[Row]) -> Vec<Curve<'_>> {
    let mut curves = Vec::new();
    for over in Over::ALL {
        let mut known: Vec<Curve<'_>> = Vec::new();
        for row in rows {
            let Some(value) = over.of(&row.parameters).filter(|value| *value > 0.0) else { continue };
            let same = |curve: &&mut Curve<'_>| {
                let first = curve.row();
                (&first.group, &first.name, first.unit) == (&row.group, &row.name, row.unit)
                    && curve.parameters() == over.without(&row.parameters)
            };
            match known.iter_mut().find(same) {
                Some(curve) => curve.rows.push((value, row)),
                None => known.push(Curve { over, rows: vec![(value, row)] }),
            }
        }
        for curve in &mut known {
            curve.rows.sort_by(|one, other| one.0.total_cmp(&other.0));
            curve.rows.dedup_by(|one, other| one.0 == other.0);
        }
        curves.extend(known.into_iter().filter(|curve| curve.rows.len() >= over.fewest()));
    }
    curves
}

/// A selection of rows for overviews: all rows that are on no curve, and both ends of each curve.
pub(super) fn telling<'a>(rows: &'a [Row], curves: &[Curve<'_>]) -> Vec<&'a Row> {
    let on = |row: &Row, curve: &Curve<'_>| curve.rows.iter().any(|(_, point)| std::ptr::eq(*point, row));
    let ends = |row: &Row, curve: &Curve<'_>| {
        let ends = [curve.rows.first(), curve.rows.last()];
        ends.iter().flatten().any(|(_, point)| std::ptr::eq(*point, row))
    };
    let tells = |row: &&Row| !curves.iter().any(|curve| on(row, curve)) || curves.iter().any(|curve| ends(row, curve));
    rows.iter().filter(tells).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::result::Unit;
    use super::*;

    fn row(name: &str, parameters: Parameters) -> Row {
        Row {
            name: name.into(),
            group: "g".into(),
            about: String::new(),
            parameters,
            unit: Unit::Time,
            operations: 1,
            bytes: 0,
            results: Vec::new(),
        }
    }

    #[test]
    fn rows_that_differ_only_in_one_parameter_are_a_curve() {
        let of = |layers, files| Parameters { layers: Some(layers), files: Some(files), ..Parameters::default() };
        let rows = [
            row("walk", of(8, 100)),
            row("walk", of(1, 100)),
            row("walk", of(128, 100)),
            row("walk", of(8, 200)),
            row("other", of(32, 100)),
        ];
        let curves = curves(&rows);
        assert_eq!(curves.len(), 1);
        assert_eq!(curves[0].over, Over::Layers);
        assert_eq!(curves[0].rows.iter().map(|(x, _)| *x).collect::<Vec<_>>(), [1.0, 8.0, 128.0]);
        assert_eq!(curves[0].parameters(), Parameters { files: Some(100), ..Parameters::default() });
        let telling: Vec<_> = telling(&rows, &curves).iter().map(|row| row.parameters).collect();
        assert_eq!(telling, [of(1, 100), of(128, 100), of(8, 200), of(32, 100)]);
    }

    #[test]
    fn two_points_are_a_curve_only_over_clients() {
        let threads = |n| Parameters { threads: Some(n), ..Parameters::default() };
        let size = |n| Parameters { size: Some(n), ..Parameters::default() };
        let rows = [row("a", threads(1)), row("a", threads(4)), row("b", size(1)), row("b", size(2))];
        let over: Vec<_> = curves(&rows).iter().map(|curve| curve.over).collect();
        assert_eq!(over, [Over::Threads]);
    }
}
