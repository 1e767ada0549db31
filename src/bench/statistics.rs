//! Statistics: medians and ratios, with their intervals.
//!
//! Nothing here assumes a normal distribution, because runs are few and times are not normally distributed. The
//! interval of a median comes from order statistics; fewer than six samples cannot give 95 %, so the interval then
//! spans all of them. The interval of a ratio comes from resampling pairs of the same run: a disturbance of the run
//! slows both sides and mostly cancels out.

/// The probability that a value lies outside of its 95 % interval.
const OUTSIDE: f64 = 0.05;

/// The fewest samples for which the smallest and the largest enclose the median in 95 of 100 cases.
const ENOUGH: usize = 6;

/// The number of bootstrap resamples.
const RESAMPLES: usize = 2000;

/// A ratio is meaningless if the high end of its interval is more than this many times the low end.
pub const MEANINGLESS: f64 = 1.5;

/// The median of some samples, with its spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The middle sample.
    pub median: f64,
    /// The smallest sample.
    pub min: f64,
    /// The largest sample.
    pub max: f64,
    /// Ends of the interval that holds the true median in 95 of 100 cases; `min` and `max` when there are fewer than
    /// six samples.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

/// The time of one subject divided by another's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The ratio of the medians.
    pub value: f64,
    /// Ends of the 95 % interval; with fewer than six runs the extremes of the ratios of single runs.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
    /// How many runs both subjects have.
    pub runs: usize,
}

impl Summary {
    /// The summary of `samples`, in any order; `None` if there are none.
    pub fn of(samples: &[f64]) -> Option<Summary> {
        let sorted = sorted(samples);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let outside = outside(sorted.len());
        let (low, high) = (sorted[outside], sorted[sorted.len() - 1 - outside]);
        Some(Summary { median: median_of(&sorted), min, max, low, high })
    }

    /// Half the width of the interval, as a fraction of the median.
    pub fn spread(&self) -> f64 {
        if self.median > 0.0 { (self.high - self.low) / 2.0 / self.median } else { 0.0 }
    }
}

impl Ratio {
    /// The ratio of `these` to `those`; samples with the same index are of the same run. `None` if either has no
    /// samples, or a time is 0.
    pub fn of(these: &[f64], those: &[f64]) -> Option<Ratio> {
        let value = Summary::of(these)?.median / Summary::of(those)?.median;
        let pairs: Vec<(f64, f64)> = these.iter().copied().zip(those.iter().copied()).collect();
        let ratios = if pairs.len() < ENOUGH {
            pairs.iter().map(|(this, that)| this / that).collect()
        } else {
            resampled(&pairs)
        };
        let ratios = sorted(&ratios);
        let outside = if pairs.len() < ENOUGH { 0 } else { (ratios.len() as f64 * OUTSIDE / 2.0) as usize };
        let (low, high) = (ratios[outside].min(value), ratios[ratios.len() - 1 - outside].max(value));
        (value.is_finite() && low.is_finite() && high.is_finite()).then_some(Ratio {
            value,
            low,
            high,
            runs: pairs.len(),
        })
    }

    /// The ratio should not be quoted: its interval is too wide, or there was only one run.
    pub fn is_meaningless(&self) -> bool {
        self.runs < 2 || self.low <= 0.0 || self.high / self.low > MEANINGLESS
    }
}

/// The percentile of `sorted` (rising): the smallest value that `percent` percent of the values do not exceed. `None`
/// if there are no values.
pub fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median_of(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// How many of `count` samples are outside of the interval on each side: the most for which the interval misses the
/// true median in at most 5 of 100 cases. Each sample is above the median with probability one half (sign test).
fn outside(count: usize) -> usize {
    let mut term = 0.5f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut below = term;
    let mut outside = 0;
    while 2.0 * (below + term * (count - outside) as f64 / (outside + 1) as f64) <= OUTSIDE {
        term *= (count - outside) as f64 / (outside + 1) as f64;
        below += term;
        outside += 1;
    }
    outside
}

/// Bootstrap: the ratios of medians of resampled pairs. The seed is fixed, so a report always gives the same interval.
fn resampled(pairs: &[(f64, f64)]) -> Vec<f64> {
    let mut random = fastrand::Rng::with_seed(0);
    let mut one = |_| {
        let drawn: Vec<(f64, f64)> = pairs.iter().map(|_| pairs[random.usize(..pairs.len())]).collect();
        let (these, those): (Vec<f64>, Vec<f64>) = drawn.into_iter().unzip();
        median_of(&sorted(&these)) / median_of(&sorted(&those))
    };
    (0..RESAMPLES).map(&mut one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_the_median_is_that_of_the_sign_test() {
        // Order statistics that enclose the median at 95 %: the d-th smallest and largest; none below six.
        for (count, rank) in [(1, 1), (5, 1), (6, 1), (8, 1), (9, 2), (11, 2), (12, 3), (15, 4), (20, 6), (25, 8)] {
            assert_eq!(outside(count) + 1, rank, "of {count}");
        }
    }

    #[test]
    fn a_summary_has_the_median_and_both_ends() {
        let summary = Summary::of(&[3.0, 1.0, 2.0]).expect("samples");
        assert_eq!(summary, Summary { median: 2.0, min: 1.0, max: 3.0, low: 1.0, high: 3.0 });
        assert_eq!(summary.spread(), 0.5);
        assert_eq!(Summary::of(&[4.0, 1.0]).map(|s| s.median), Some(2.5));
        assert_eq!(Summary::of(&[]), None);
        let nine: Vec<f64> = (1..=9).map(f64::from).collect();
        let summary = Summary::of(&nine).expect("samples");
        assert_eq!((summary.low, summary.high, summary.min, summary.max), (2.0, 8.0, 1.0, 9.0));
    }

    #[test]
    fn a_ratio_of_runs_that_drift_together_is_sure() {
        let ratio = Ratio::of(&[2.0, 20.0, 200.0], &[1.0, 10.0, 100.0]).expect("samples");
        assert_eq!(ratio, Ratio { value: 2.0, low: 2.0, high: 2.0, runs: 3 });
        assert!(!ratio.is_meaningless());
    }

    #[test]
    fn a_ratio_of_runs_that_jump_is_not() {
        assert!(Ratio::of(&[1.0, 2.0, 3.0], &[2.0, 1.0, 2.0]).expect("samples").is_meaningless());
        let (these, those): (Vec<f64>, Vec<f64>) = (1..=20).map(|n| (f64::from(n), f64::from(21 - n))).unzip();
        assert!(Ratio::of(&these, &those).expect("samples").is_meaningless());
        let steady: Vec<f64> = (0..20).map(|n| 1.0 + f64::from(n % 3) / 100.0).collect();
        let doubled: Vec<f64> = steady.iter().map(|s| 2.0 * s).collect();
        let ratio = Ratio::of(&doubled, &steady).expect("samples");
        assert!(!ratio.is_meaningless() && ratio.low <= 2.0 && ratio.high >= 2.0, "{ratio:?}");
        assert_eq!(Ratio::of(&doubled, &steady), Some(ratio), "the same each time");
    }

    #[test]
    fn without_samples_or_time_there_is_no_ratio() {
        assert_eq!(Ratio::of(&[], &[1.0]), None);
        assert_eq!(Ratio::of(&[1.0], &[]), None);
        assert_eq!(Ratio::of(&[1.0], &[0.0]), None);
        assert!(Ratio::of(&[1.0], &[1.0]).expect("samples").is_meaningless(), "one run says nothing of the next");
    }

    #[test]
    fn percentiles_are_samples() {
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        for (percent, value) in [(0.0, 1.0), (10.0, 1.0), (50.0, 5.0), (90.0, 9.0), (91.0, 10.0), (100.0, 10.0)] {
            assert_eq!(percentile(&ten, percent), Some(value), "{percent}");
        }
        assert_eq!(percentile(&[], 50.0), None);
    }
}
