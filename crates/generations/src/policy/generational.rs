//! CPython's policy: three generations with thresholds.

use super::{Alarm, Plan, Policy, Why};
use crate::counters::Counters;
use crate::generation::Generation;

/// Collects a generation when its count is above its threshold, the oldest such one first.
///
/// A full collection is held back until what came into the oldest generation since the last one is worth a part of what that
/// had left: so the work that full collections make of a heap that only grows is linear in its size, not quadratic.
///
/// ```
/// use generations::{Counters, Generation, Generational};
///
/// let policy = Generational::new([700, 10, 10]);
/// let mut counters = Counters { counts: [701, 11, 3], ..Counters::default() };
/// assert_eq!(policy.choose(&counters).generation, Some(Generation::MIDDLE));
/// counters.counts[2] = 11;
/// assert_eq!(policy.choose(&counters).generation, Some(Generation::OLD));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generational {
    thresholds: [i32; Generation::MANY],
    part: Option<usize>,
    pending: usize,
    total: usize,
}

/// Which generation's turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// That, if it is any's.
    pub generation: Option<Generation>,
    /// Why it is not the oldest one's, though its count is above its threshold.
    pub held_back: Option<HeldBack>,
}

/// A full collection that does not take place: less is new than what makes it worthwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// Survivors that came into the oldest generation since the last full collection.
    pub pending: usize,
    /// How many it takes.
    pub enough: usize,
}

impl Generational {
    /// With these thresholds, and full collections when a quarter of the old objects is new.
    #[must_use]
    pub const fn new(thresholds: [i32; Generation::MANY]) -> Self {
        Self::with_part(thresholds, Some(4))
    }

    /// The same for another part than a quarter; `None`: full collections are never held back.
    #[must_use]
    pub const fn with_part(thresholds: [i32; Generation::MANY], part: Option<usize>) -> Self {
        Self { thresholds, part, pending: 0, total: 0 }
    }

    /// By generation: above which count it is collected. In place 0, a 0 switches off that collections begin by themselves; in
    /// the others it means that a count of 1 is enough.
    #[must_use]
    pub const fn thresholds(&self) -> [i32; Generation::MANY] {
        self.thresholds
    }

    /// Sets them (what `gc.set_threshold` does).
    pub const fn set_thresholds(&mut self, thresholds: [i32; Generation::MANY]) {
        self.thresholds = thresholds;
    }

    /// How many came into the oldest generation since it was last collected, when they did. (CPython's
    /// `long_lived_pending`.)
    #[must_use]
    pub const fn pending(&self) -> usize {
        self.pending
    }

    /// How many were left there when it was last collected. (CPython's `long_lived_total`.)
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }

    /// Sets both: for who goes on from a state that is told.
    pub const fn set_long_lived(&mut self, total: usize, pending: usize) {
        (self.total, self.pending) = (total, pending);
    }

    /// Which generation's turn it would be.
    #[must_use]
    pub fn choose(&self, counters: &Counters) -> Choice {
        let held_back = self.held_back();
        let is_due = |generation: Generation| {
            let threshold = self.thresholds[generation.number()];
            u64::try_from(threshold).map_or(true, |threshold| counters.of(generation) > threshold)
        };
        let due = |generation: &Generation| is_due(*generation);
        let vetoed = |generation: &Generation| *generation == Generation::OLD && held_back.is_some();
        Choice {
            generation: Generation::ALL.into_iter().rev().filter(due).find(|it| !vetoed(it)),
            held_back: held_back.filter(|_| is_due(Generation::OLD)),
        }
    }

    fn held_back(&self) -> Option<HeldBack> {
        let enough = self.total.checked_div(self.part?)?;
        (self.pending < enough).then_some(HeldBack { pending: self.pending, enough })
    }
}

impl Policy for Generational {
    fn alarm(&self) -> Alarm {
        match u64::try_from(self.thresholds[0]) {
            Ok(0) => Alarm::NEVER,
            Ok(young) => Alarm { young, ..Alarm::NEVER },
            // Below none: every allocation.
            Err(_) => Alarm { young: 0, ..Alarm::NEVER },
        }
    }

    fn plan(&mut self, counters: &Counters, why: Why) -> Option<Plan> {
        match why {
            Why::Alarm => self.choose(counters).generation.map(Plan::whole),
            Why::Request(generation) => Some(Plan::whole(generation)),
            Why::Exit => Some(Plan::whole(Generation::OLD)),
        }
    }

    fn found(&mut self, plan: &Plan, survivors: usize) {
        match plan.generation {
            Generation::OLD => (self.pending, self.total) = (0, survivors),
            Generation::MIDDLE => self.pending += survivors,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(policy: &Generational, counts: [u64; 3]) -> Choice {
        policy.choose(&Counters { counts, ..Counters::default() })
    }

    #[test]
    fn above_the_threshold_not_at_it() {
        let policy = Generational::new([700, 10, 10]);
        assert_eq!(choice(&policy, [700, 10, 10]).generation, None);
        assert_eq!(choice(&policy, [701, 10, 10]).generation, Some(Generation::YOUNG));
        assert_eq!(choice(&policy, [0, 11, 10]).generation, Some(Generation::MIDDLE));
        assert_eq!(choice(&policy, [0, 0, 11]).generation, Some(Generation::OLD));
    }

    #[test]
    fn a_quarter_is_rounded_down() {
        let mut policy = Generational::new([700, 10, 10]);
        let full = |policy: &Generational| choice(policy, [701, 11, 11]);
        policy.found(&Plan::whole(Generation::OLD), 1000);
        policy.found(&Plan::whole(Generation::MIDDLE), 249);
        let held_back = Some(HeldBack { pending: 249, enough: 250 });
        assert_eq!(full(&policy), Choice { generation: Some(Generation::MIDDLE), held_back });
        // An older one that is not due was not held back.
        assert_eq!(choice(&policy, [701, 0, 0]).held_back, None);
        policy.found(&Plan::whole(Generation::YOUNG), 100);
        assert_eq!(full(&policy).generation, Some(Generation::MIDDLE));
        policy.found(&Plan::whole(Generation::MIDDLE), 1);
        assert_eq!(full(&policy), Choice { generation: Some(Generation::OLD), held_back: None });
        policy.found(&Plan::whole(Generation::OLD), 3);
        assert_eq!((policy.pending(), policy.total(), full(&policy).held_back), (0, 3, None));
    }

    #[test]
    fn nothing_is_held_back_without_that_rule() {
        let mut policy = Generational::with_part([700, 10, 10], None);
        policy.found(&Plan::whole(Generation::OLD), 1000);
        assert_eq!(choice(&policy, [701, 11, 11]).generation, Some(Generation::OLD));
    }

    #[test]
    fn zero_means_off_for_the_youngest_only() {
        let off = Generational::new([0, 10, 10]);
        assert_eq!(off.alarm(), Alarm::NEVER);
        assert_eq!(choice(&Generational::new([700, 0, 0]), [0, 0, 1]).generation, Some(Generation::OLD));
        assert_eq!(choice(&Generational::new([700, 0, 0]), [0, 0, 0]).generation, None);
        // Negative ones are allowed, and are below any count.
        assert_eq!(choice(&Generational::new([700, -1, 0]), [0, 0, 0]).generation, Some(Generation::MIDDLE));
        assert_eq!(Generational::new([-5, 10, 10]).alarm().young, 0);
    }

    #[test]
    fn full_collections_are_held_back_by_numbers_that_are_told() {
        let mut policy = Generational::new([700, 10, 10]);
        policy.set_long_lived(400, 99);
        assert_eq!((policy.total(), policy.pending()), (400, 99));
        assert_eq!(choice(&policy, [701, 11, 11]).generation, Some(Generation::MIDDLE));
        policy.set_long_lived(400, 100);
        assert_eq!(choice(&policy, [701, 11, 11]).generation, Some(Generation::OLD));
    }
}
