//! Medians and spreads.

use std::fmt;

use serde::Serialize;

/// Measurements of the same thing in several rounds.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    /// One more.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Whether nothing was measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The median; not a number if there is none.
    pub(crate) fn median(&self) -> f64 {
        median(&self.0)
    }

    /// The least and the greatest.
    pub(crate) fn range(&self) -> (f64, f64) {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (least, greatest)
    }

    /// As text: `median (least–greatest)`.
    pub(crate) fn shown(&self, digits: usize) -> Shown<'_> {
        Shown { rounds: self, digits }
    }
}

/// See [`Rounds::shown`].
pub(crate) struct Shown<'a> {
    rounds: &'a Rounds,
    digits: usize,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rounds.is_empty() {
            return f.write_str("–");
        }
        let (least, greatest) = self.rounds.range();
        let digits = self.digits;
        write!(f, "{:.digits$} ({least:.digits$}–{greatest:.digits$})", self.rounds.median())
    }
}

/// The median of some numbers.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// The geometric mean, as befits ratios.
#[cfg(any(test, feature = "peers"))]
pub(crate) fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value.ln();
        count += 1.0;
    }
    (sum / count).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middles() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
        assert!((geometric_mean([0.5, 2.0].into_iter()) - 1.0).abs() < 1e-9);
        let mut rounds = Rounds::default();
        assert_eq!(rounds.shown(1).to_string(), "–");
        for value in [1.0, 3.0, 2.0] {
            rounds.push(value);
        }
        assert_eq!(rounds.shown(1).to_string(), "2.0 (1.0–3.0)");
    }
}
