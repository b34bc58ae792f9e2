//! What is counted from collection to collection, and from the beginning.

use cycles::Outcome;

use crate::generation::Generation;

/// What a [`Policy`](crate::Policy) decides by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// By generation. Of the youngest: containers allocated less containers freed, never below 0. Of each other: how often
    /// the next younger one was collected. All since it was collected itself. (What `gc.get_count` says.)
    pub counts: [u64; Generation::MANY],
    /// Bytes by which the heap has grown since the last collection, if the driver [tells](crate::Generations::grew).
    pub bytes: u64,
}

impl Counters {
    /// The count of a generation.
    #[must_use]
    pub const fn of(&self, generation: Generation) -> u64 {
        self.counts[generation.number()]
    }

    /// What the beginning of a collection means to CPython's generations: this one and those younger begin anew, the next
    /// older one counts one more.
    pub fn begin(&mut self, generation: Generation) {
        if let Some(older) = generation.older() {
            self.counts[older.number()] += 1;
        }
        for generation in generation.younger().chain([generation]) {
            self.counts[generation.number()] = 0;
        }
        self.bytes = 0;
    }
}

/// What the collections of a generation have come to (what `gc.get_stats` says).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// How many there were, to the end.
    pub collections: u64,
    /// Objects collected.
    pub collected: u64,
    /// Objects found unreachable that could not be collected.
    pub uncollectable: u64,
}

impl Stats {
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.collections += 1;
        self.collected += outcome.collected as u64;
        self.uncollectable += outcome.uncollectable as u64;
    }
}
