//! Axes: the range of values that is shown, and the positions of the marks.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

/// A logarithmic axis for values above 0.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Axis {
    /// The decimal logarithms of the lowest and the highest value.
    ends: Range<f64>,
    marks: Vec<f64>,
}

impl Axis {
    /// An axis with round ends that covers `values`; ignores values that are not finite or not above 0.
    pub(in crate::bench) fn over(values: impl IntoIterator<Item = f64>) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for value in values.into_iter().filter(|value| value.is_finite() && *value > 0.0) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low.is_finite() { round(low, high) } else { round(1.0, 1.0) }
    }

    /// An axis for bytes: covers `values`, with marks at powers of two.
    pub(in crate::bench) fn binary(values: impl IntoIterator<Item = f64>) -> Axis {
        let powers = values.into_iter().filter(|value| *value > 0.0).map(f64::log2).filter(|power| power.is_finite());
        let (low, high) = powers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| (low.min(p), high.max(p)));
        let (low, high) = if low <= high { (low.floor(), high.ceil().max(low.floor() + 1.0)) } else { (0.0, 1.0) };
        let step = ((high - low) / 6.0).ceil();
        let steps = ((high - low) / step).ceil();
        let marks: Vec<f64> = (0..=steps as u32).map(|n| (low + f64::from(n) * step).exp2()).collect();
        Axis { ends: low.exp2().log10()..(low + steps * step).exp2().log10(), marks }
    }

    /// An axis with a mark at each of `values`.
    pub(in crate::bench) fn at(values: impl IntoIterator<Item = f64>) -> Axis {
        let mut marks: Vec<f64> = values.into_iter().filter(|value| *value > 0.0).collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        let (first, last) =
            (marks.first().copied().unwrap_or(1.0).log10(), marks.last().copied().unwrap_or(1.0).log10());
        let room = ((last - first) * 0.04).max(0.05);
        // Leaves out marks whose labels would overlap; keeps the first and the last.
        let near = (last - first) / 9.0;
        let mut shown: Vec<f64> = Vec::new();
        for mark in marks {
            let is_last = mark.log10() == last;
            if is_last {
                while shown.len() > 1 && shown.last().is_some_and(|before| last - before.log10() < near) {
                    shown.pop();
                }
            }
            if is_last || shown.last().is_none_or(|before| mark.log10() - before.log10() >= near) {
                shown.push(mark);
            }
        }
        Axis { ends: first - room..last + room, marks: shown }
    }

    /// The value at the low end.
    pub(super) fn start(&self) -> f64 {
        10f64.powf(self.ends.start)
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        // A value that has no logarithm is drawn at the low end.
        let place = if *value > 0.0 { value.log10() } else { self.ends.start };
        let part = (place - self.ends.start) / (self.ends.end - self.ends.start);
        limit.0 + (part * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.marks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.start()..10f64.powf(self.ends.end)
    }
}

fn round(low: f64, high: f64) -> Axis {
    let decades = (high / low).log10();
    let steps: &[f64] = match decades {
        d if d > 3.0 => &[1.0],
        d if d > 1.6 => &[1.0, 3.0],
        _ => &[1.0, 2.0, 5.0],
    };
    let all: Vec<f64> = (low.log10().floor() as i32 - 1..=high.log10().ceil() as i32 + 1)
        .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
        .collect();
    // From the mark below `low` to the mark above `high`; at least two marks.
    const ALMOST: f64 = 1.000_001;
    let first = all.iter().rposition(|mark| *mark <= low * ALMOST).unwrap_or(0);
    let last = all.iter().position(|mark| *mark * ALMOST >= high).unwrap_or(all.len() - 1).max(first + 1);
    let marks: Vec<f64> = all[first..=last.min(all.len() - 1)].to_vec();
    let ends = marks.first().map_or(0.0, |mark| mark.log10())..marks.last().map_or(1.0, |mark| mark.log10());
    Axis { ends, marks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_round_and_hold_every_value() {
        for (values, marks) in [
            (vec![1.0, 30.0], vec![1.0, 2.0, 5.0, 10.0, 20.0, 50.0]),
            (vec![0.7, 70.0], vec![0.3, 1.0, 3.0, 10.0, 30.0, 100.0]),
            (vec![1.5e-6, 0.03], vec![1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]),
            (vec![1.0, 1.0], vec![1.0, 2.0]),
            (vec![0.0, -1.0, f64::NAN], vec![1.0, 2.0]),
        ] {
            let axis = Axis::over(values.iter().copied());
            assert_eq!(axis.marks.len(), marks.len(), "{values:?}: {:?}", axis.marks);
            for (found, expected) in axis.marks.iter().zip(&marks) {
                assert!((found - expected).abs() <= expected * 1e-9, "{values:?}: {:?}", axis.marks);
            }
            for value in values.iter().filter(|value| **value > 0.0) {
                assert!(axis.ends.start <= value.log10() && value.log10() <= axis.ends.end, "{value}");
            }
        }
    }

    #[test]
    fn marks_at_values_do_not_overlap() {
        assert_eq!(Axis::at([500.0, 1.0, 8.0, 32.0, 128.0]).marks, [1.0, 8.0, 32.0, 128.0, 500.0]);
        assert_eq!(Axis::at([1.0, 1000.0, 1001.0]).marks, [1.0, 1001.0]);
        assert_eq!(Axis::at([]).marks, [0.0; 0]);
    }

    #[test]
    fn marks_of_bytes_are_powers_of_two() {
        assert_eq!(Axis::binary([1000.0, 5000.0]).marks, [512.0, 1024.0, 2048.0, 4096.0, 8192.0]);
        assert_eq!(Axis::binary([1.0, 1e6]).marks, [0, 4, 8, 12, 16, 20].map(|power| f64::from(power).exp2()));
        assert_eq!(Axis::binary([4.0]).marks, [4.0, 8.0]);
        assert_eq!(Axis::binary([0.0, f64::NAN]).marks, [1.0, 2.0]);
    }
}
