//! Rounds in which everybody takes a turn, and what they come to.

use super::generator::Sample;

/// Figures of one thing in all rounds.
pub struct Series(Vec<Sample>);

/// A figure with its range over the rounds.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// Measures everybody once a round, so that what else the machine does hits all alike.
pub fn interleave(rounds: usize, contenders: &[&dyn Fn() -> Sample]) -> Vec<Series> {
    let mut series: Vec<_> = contenders.iter().map(|_| Series(Vec::new())).collect();
    for _ in 0..rounds {
        for (contender, series) in contenders.iter().zip(&mut series) {
            series.0.push(contender());
        }
    }
    series
}

impl Figure {
    /// Of one number a round.
    pub fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let at = |i: usize| numbers.get(i).copied().unwrap_or(f64::NAN);
        Self { median: at(numbers.len() / 2), min: at(0), max: at(numbers.len().saturating_sub(1)) }
    }

    /// Of a number that was measured once.
    pub fn once(number: f64) -> Self {
        Self { median: number, min: number, max: number }
    }
}

impl Series {
    pub fn figure(&self, member: fn(&Sample) -> f64) -> Figure {
        Figure::of(self.0.iter().map(member).collect())
    }

    pub fn throughput(&self) -> f64 {
        self.figure(|sample| sample.throughput).median
    }

    /// The ratio of the medians, with the range of the rounds' ratios.
    pub fn ratio(&self, base: &Self, member: fn(&Sample) -> f64) -> Figure {
        let ratios = self.0.iter().zip(&base.0).map(|(own, base)| member(own) / member(base));
        let median = self.figure(member).median / base.figure(member).median;
        Figure { median, ..Figure::of(ratios.collect()) }
    }
}
