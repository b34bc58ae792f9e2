//! What collections did, over time, in as much memory whatever the trace's length.

use serde::Serialize;

/// How many steps a timeline has at most.
const STEPS: usize = 1024;

/// Collections by the time at which they began, in steps of the same length.
#[derive(Clone, Debug, Serialize)]
pub struct Timeline {
    /// How many events a step has: a power of two.
    pub events: u64,
    /// The steps, up to the last in which a collection began.
    pub steps: Vec<Step>,
}

/// What is counted of the collections that began in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Step {
    /// How many there were, by generation.
    pub collections: [u64; 3],
    /// Objects that they looked at; 0 if the trace does not tell.
    pub examined: u64,
    /// Objects that they found unreachable.
    pub unreachable: u64,
}

impl Step {
    /// Adds another one's.
    pub fn add(&mut self, other: &Self) {
        self.collections.iter_mut().zip(other.collections).for_each(|(count, more)| *count += more);
        self.examined = self.examined.saturating_add(other.examined);
        self.unreachable = self.unreachable.saturating_add(other.unreachable);
    }
}

impl Default for Timeline {
    fn default() -> Self {
        Self { events: 1, steps: Vec::new() }
    }
}

impl Timeline {
    /// A collection began at this event.
    pub(super) fn add(&mut self, event: u64, what: &Step) {
        while event / self.events >= STEPS as u64 {
            self.events *= 2;
            for at in 0..self.steps.len().div_ceil(2) {
                let mut step = self.steps[2 * at];
                if let Some(second) = self.steps.get(2 * at + 1) {
                    step.add(second);
                }
                self.steps[at] = step;
            }
            self.steps.truncate(self.steps.len().div_ceil(2));
        }
        let at = usize::try_from(event / self.events).unwrap_or(STEPS - 1);
        if self.steps.len() <= at {
            self.steps.resize(at + 1, Step::default());
        }
        self.steps[at].add(what);
    }

    /// The same in so many columns, for a program of so many events.
    #[must_use]
    pub fn columns(&self, events: u64, columns: usize) -> Vec<Step> {
        let mut all = vec![Step::default(); columns];
        for (at, step) in self.steps.iter().enumerate() {
            let middle = (at as u64).saturating_mul(self.events).saturating_add(self.events / 2).min(events);
            let column = u128::from(middle) * columns as u128 / u128::from(events.max(1));
            let column = usize::try_from(column).unwrap_or(columns).min(columns.saturating_sub(1));
            if let Some(column) = all.get_mut(column) {
                column.add(step);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_when_steps_become_longer() {
        let mut timeline = Timeline::default();
        for number in 0..5000 {
            let step = Step { collections: [1, 0, 0], examined: 10, unreachable: number };
            timeline.add(number * number, &step);
        }
        assert!(timeline.steps.len() <= STEPS && timeline.events.is_power_of_two());
        for columns in [vec![], timeline.steps.clone(), timeline.columns(25_000_000, 60)] {
            let mut all = Step::default();
            columns.iter().for_each(|step| all.add(step));
            let expected = if columns.is_empty() { 0 } else { 5000 };
            assert_eq!((all.collections[0], all.examined), (expected, 10 * expected));
            assert_eq!(all.unreachable, if columns.is_empty() { 0 } else { 4999 * 5000 / 2 });
        }
        assert_eq!(timeline.columns(0, 1).len(), 1);
    }
}
