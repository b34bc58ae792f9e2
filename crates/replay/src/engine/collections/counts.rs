//! What collections do, counted: how often each thing happens that a collector may do.

use cycles::Outcome;
use generations::Generation;
use serde::Serialize;

/// How often each thing has happened, by what the engine predicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CollectionCounts {
    /// Collections, by generation.
    pub collections: [u64; Generation::MANY],
    /// Of these, those that the program asked for.
    pub asked: u64,
    /// Collections of a younger generation where a full one was due, and held back because too little was new.
    pub held_back: u64,
    /// How often a collection had been armed, and was not due any more before a safe point came.
    pub not_due_any_more: u64,
    /// Objects that were looked at.
    pub candidates: u64,
    /// That were garbage.
    pub garbage: u64,
    /// That went to the tail of their list because they first seemed to be garbage.
    pub rescued: u64,
    /// That survived, and went on to an older generation.
    pub promoted: u64,
    /// Tuples that were taken off the lists.
    pub untracked_tuples: u64,
    /// Dictionaries that were.
    pub untracked_dicts: u64,
    /// Immortal objects that were put aside.
    pub immortal: u64,
    /// Weak references to garbage that were called.
    pub callbacks: u64,
    /// Those that were not, being garbage themselves.
    pub suppressed: u64,
    /// Finalizers of garbage that were run.
    pub finalized: u64,
    /// Garbage that code of the program has brought back to life.
    pub resurrected: u64,
    /// Garbage that was kept to be looked at.
    pub kept: u64,
}

impl CollectionCounts {
    /// Each count, with its name: those of collections added up.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 16] {
        [
            ("collections", self.collections.iter().sum()),
            ("asked for", self.asked),
            ("full ones held back", self.held_back),
            ("armed and not due any more", self.not_due_any_more),
            ("candidates", self.candidates),
            ("garbage", self.garbage),
            ("rescued", self.rescued),
            ("promoted", self.promoted),
            ("untracked tuples", self.untracked_tuples),
            ("untracked dicts", self.untracked_dicts),
            ("immortal", self.immortal),
            ("callbacks", self.callbacks),
            ("callbacks suppressed", self.suppressed),
            ("finalized", self.finalized),
            ("resurrected", self.resurrected),
            ("kept", self.kept),
        ]
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.collections.iter_mut().zip(other.collections) {
            *sum += more;
        }
        self.asked += other.asked;
        self.held_back += other.held_back;
        self.not_due_any_more += other.not_due_any_more;
        self.candidates += other.candidates;
        self.garbage += other.garbage;
        self.rescued += other.rescued;
        self.promoted += other.promoted;
        self.untracked_tuples += other.untracked_tuples;
        self.untracked_dicts += other.untracked_dicts;
        self.immortal += other.immortal;
        self.callbacks += other.callbacks;
        self.suppressed += other.suppressed;
        self.finalized += other.finalized;
        self.resurrected += other.resurrected;
        self.kept += other.kept;
    }

    /// Adds a collection of this generation.
    pub(super) fn collected(&mut self, generation: Generation, outcome: &Outcome) {
        self.collections[generation.number()] += 1;
        self.candidates += outcome.candidates as u64;
        self.garbage += outcome.unreachable as u64;
        self.rescued += outcome.rescued as u64;
        if generation != Generation::OLD {
            self.promoted += outcome.survivors as u64;
        }
        self.untracked_tuples += outcome.untracked_fixed as u64;
        self.untracked_dicts += outcome.untracked_changing as u64;
        self.immortal += outcome.immortal as u64;
        self.suppressed += outcome.suppressed as u64;
    }
}
