//! Distributions of many numbers in little memory.

use hdrhistogram::Histogram;

/// Two digits that count: a number is known to one part in 128.
const DIGITS: u8 = 2;

/// A quantile, of all that were born: see [`Spread::quantile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantile {
    /// Nothing was born.
    Nothing,
    /// At most this; to one part in 128.
    AtMost(u64),
    /// More than that share of them have no value: they outlived the program.
    Beyond,
}

impl Quantile {
    /// The number, if it is one.
    #[must_use]
    pub fn number(self) -> Option<u64> {
        match self {
            Self::AtMost(number) => Some(number),
            Self::Nothing | Self::Beyond => None,
        }
    }
}

/// How numbers are spread: to one part in 128. Exact are up to 64 numbers, those below 256, and the largest.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    /// The first ones: most types have few objects, and a histogram takes tens of kilobytes.
    few: Vec<u64>,
    /// All of them, if they are more.
    many: Option<Histogram<u64>>,
    largest: Option<u64>,
    sum: u128,
}

/// So many numbers are kept as they are.
const FEW: usize = 64;

impl Spread {
    /// Takes a number.
    pub fn add(&mut self, number: u64) {
        self.largest = self.largest.max(Some(number));
        self.sum += u128::from(number);
        if self.many.is_none() && self.few.len() < FEW {
            self.few.push(number);
        } else {
            // It grows by itself, so this cannot fail.
            let _ = self.histogram().record(number);
        }
    }

    /// From now on there are many.
    #[expect(clippy::expect_used, reason = "the digits are a constant that the library allows")]
    fn histogram(&mut self) -> &mut Histogram<u64> {
        self.many.get_or_insert_with(|| {
            let mut histogram = Histogram::new(DIGITS).expect("two digits");
            for number in std::mem::take(&mut self.few) {
                let _ = histogram.record(number);
            }
            histogram
        })
    }

    /// Takes all that another one has taken.
    pub fn merge(&mut self, other: &Self) {
        let (largest, sum) = (self.largest.max(other.largest), self.sum + other.sum);
        other.few.iter().for_each(|number| self.add(*number));
        if let Some(many) = &other.many {
            let _ = self.histogram().add(many);
        }
        (self.largest, self.sum) = (largest, sum);
    }

    /// How many numbers there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.few.len() as u64 + self.many.as_ref().map_or(0, Histogram::len)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The largest.
    #[must_use]
    pub fn largest(&self) -> Option<u64> {
        self.largest
    }

    /// The mean, if there are any.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean is no exact number")]
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.sum as f64 / self.len() as f64)
    }

    /// The least number that `percent` of `all` do not exceed, where those of `all` that are not here are beyond every
    /// number.
    #[must_use]
    pub fn quantile(&self, percent: u64, all: u64) -> Quantile {
        if all == 0 {
            return Quantile::Nothing;
        }
        let rank = (u128::from(all) * u128::from(percent)).div_ceil(100).max(1);
        let mut few = self.few.clone();
        few.sort_unstable();
        let few = few.into_iter().map(|number| (number, 1));
        let many = self.many.iter().flat_map(Histogram::iter_recorded);
        let many = many.map(|bucket| (bucket.value_iterated_to(), bucket.count_since_last_iteration()));
        let mut seen = 0;
        for (number, count) in few.chain(many) {
            seen += u128::from(count);
            if seen >= rank {
                return Quantile::AtMost(self.largest.map_or(number, |largest| number.min(largest)));
            }
        }
        Quantile::Beyond
    }

    /// How many numbers are at most `number`; to one part in 128 of that.
    #[must_use]
    pub fn up_to(&self, number: u64) -> u64 {
        let few = self.few.iter().filter(|one| **one <= number).count() as u64;
        few + self.many.as_ref().map_or(0, |many| many.count_between(0, number))
    }
}

/// Ages in bytes at which survivors are counted exactly: 1, 2, 5, 10, 20, … 5·10¹².
pub const AGES: usize = 39;

/// The age number `index`.
#[must_use]
pub fn age(index: usize) -> u64 {
    [1, 2, 5][index % 3] * 10_u64.pow(u32::try_from(index / 3).unwrap_or(u32::MAX))
}

/// Counts by age: entry *i* is for ages from `age(i − 1)` to below `age(i)`, the first from 0 and the last without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByAge([u64; AGES + 1]);

impl Default for ByAge {
    fn default() -> Self {
        Self([0; AGES + 1])
    }
}

impl ByAge {
    /// Counts `weight` at an age.
    pub fn add(&mut self, of_age: u64, weight: u64) {
        // Few ages are old.
        let index = (0..AGES).find(|&index| of_age < age(index)).unwrap_or(AGES);
        self.0[index] += weight;
    }

    /// What was counted below `age(index)`.
    #[must_use]
    pub fn below(&self, index: usize) -> u64 {
        self.0.iter().take(index + 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_counted_is_beyond() {
        let mut spread = Spread::default();
        assert_eq!(spread.quantile(50, 0), Quantile::Nothing);
        for number in 1..=90 {
            spread.add(number);
        }
        assert_eq!(spread.quantile(50, 90), Quantile::AtMost(45));
        // Ten more never died.
        assert_eq!(spread.quantile(50, 100), Quantile::AtMost(50));
        assert_eq!(spread.quantile(90, 100), Quantile::AtMost(90));
        assert_eq!(spread.quantile(91, 100), Quantile::Beyond);
        assert_eq!((spread.quantile(0, 100), spread.largest()), (Quantile::AtMost(1), Some(90)));
        assert_eq!((spread.len(), spread.up_to(10), spread.mean()), (90, 10, Some(45.5)));
    }

    #[test]
    fn many_numbers_are_nearly_right_and_the_largest_is() {
        let (mut few, mut many) = (Spread::default(), Spread::default());
        for number in [0, 1_000_000, 12_345_678_901] {
            few.add(number);
            (0..1000).for_each(|_| many.add(number));
        }
        assert_eq!(few.quantile(50, 3), Quantile::AtMost(1_000_000));
        let Quantile::AtMost(middle) = many.quantile(50, 3000) else { panic!() };
        assert!((1_000_000..=1_007_813).contains(&middle), "{middle}");
        assert_eq!(many.quantile(100, 3000), Quantile::AtMost(12_345_678_901));
        assert_eq!((many.up_to(0), many.up_to(2_000_000), few.up_to(1_000_000)), (1000, 2000, 2));
        for (mut one, other) in [(few.clone(), &many), (many.clone(), &few), (few.clone(), &few)] {
            let (largest, len) = (one.largest(), one.len());
            one.merge(other);
            assert_eq!((one.largest(), one.len()), (largest, len + other.len()));
            assert!((one.mean().unwrap() - few.mean().unwrap()).abs() < 1e-3);
        }
    }

    #[test]
    fn ages_are_those_that_people_like() {
        assert_eq!((0..7).map(age).collect::<Vec<_>>(), [1, 2, 5, 10, 20, 50, 100]);
        assert_eq!(age(AGES - 1), 5_000_000_000_000);
        let mut by_age = ByAge::default();
        for of_age in [0, 1, 4, 5, u64::MAX] {
            by_age.add(of_age, 2);
        }
        let below: Vec<_> = (0..4).map(|index| by_age.below(index)).collect();
        assert_eq!((below, by_age.below(AGES)), (vec![2, 4, 6, 8], 10));
    }
}
