//! The comparer: holds predictions against observations, and counts.
//!
//! Facts are counted from the observations by code that knows nothing of the engine, and are conserved: each is
//! verified, diverged or unverified. After the first divergence of a check nothing that it says can be trusted any
//! more, so all its later facts are unverified.

mod arenas;
mod collections;
mod deaths;
mod placement;
mod reachability;

use std::collections::BTreeMap;

use serde::Serialize;
use trace::{Header, Tier};

pub use arenas::{ArenaDivergence, Arenas};
pub use collections::{CollectionDivergence, Collections, Difference, NUMBERS};
pub use deaths::{Deaths, ListDivergence};
pub use placement::{Placement, PlacementDivergence};
pub use reachability::Reachability;

/// The checks, by the names they have on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The address of each block that pools serve.
    Placement,
    /// Arenas are acquired and released when predicted.
    Arenas,
    /// When a collection begins, and of which generation.
    Schedule,
    /// Who is garbage.
    Partition,
    /// Who is garbage, by petgraph's opinion.
    Reachability,
    /// Who stands where on the collector's lists after a collection.
    Survivors,
    /// What the collector counts.
    Stats,
    /// Who dies, inside of which death, in which order, whose finalizers and callbacks run, and whose memory is released.
    Deaths,
    /// How many references there are to what dying objects refer to.
    Counts,
    /// The address of each block, when deaths that are predicted release objects.
    PlacementFromDeaths,
}

impl Check {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Placement,
        Self::Arenas,
        Self::Schedule,
        Self::Partition,
        Self::Reachability,
        Self::Survivors,
        Self::Stats,
        Self::Counts,
        Self::Deaths,
        Self::PlacementFromDeaths,
    ];

    /// The check's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Placement => "placement",
            Self::Arenas => "arenas",
            Self::Schedule => "schedule",
            Self::Partition => "partition",
            Self::Reachability => "reachability",
            Self::Survivors => "survivors",
            Self::Stats => "stats",
            Self::Deaths => "deaths",
            Self::Counts => "counts",
            Self::PlacementFromDeaths => "placement-from-deaths",
        }
    }

    /// Whether there is something to check in a trace with this header.
    #[must_use]
    pub fn applies_to(self, header: &Header) -> bool {
        // Traces of objects that were recorded by older recorders do not tell what the collector looks at.
        if self.tier() == Tier::Collections { header.has_collections() } else { self.tier() <= header.tier }
    }

    /// From which tier on there is something to check.
    #[must_use]
    pub fn tier(self) -> Tier {
        match self {
            Self::Placement | Self::Arenas => Tier::Blocks,
            Self::Schedule | Self::Partition | Self::Reachability | Self::Survivors | Self::Stats => {
                Tier::Collections
            }
            Self::Deaths | Self::PlacementFromDeaths => Tier::Objects,
            Self::Counts => Tier::Counts,
        }
    }
}

/// How many facts a check has seen, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Facts observed.
    pub facts: u64,
    /// Facts that were predicted.
    pub verified: u64,
    /// Facts that were predicted otherwise: the first divergence.
    pub diverged: u64,
    /// Facts after the first divergence.
    pub unverified: u64,
    /// Whether there was one. (It need not be a fact: something may be predicted that never happens.)
    broken: bool,
}

impl Tally {
    /// Counts one observed list against the predicted one that belongs to it; answers with the first place where they
    /// differ, unless an earlier one was found before.
    ///
    /// A list that was predicted longer than observed differs at the observed list's end, where there is no fact.
    fn compare<T: PartialEq>(&mut self, predicted: &[T], observed: &[T]) -> Option<usize> {
        if self.pass_over(observed.len() as u64) {
            return None;
        }
        self.facts += observed.len() as u64;
        let shorter = predicted.len().min(observed.len());
        let same = if predicted[..shorter] == observed[..shorter] {
            shorter
        } else {
            predicted
                .iter()
                .zip(observed)
                .position(|(predicted, observed)| predicted != observed)
                .unwrap_or(shorter)
        };
        self.verified += same as u64;
        if same == observed.len() && same == predicted.len() {
            return None;
        }
        self.broken = true;
        let rest = (observed.len() - same) as u64;
        self.diverged += rest.min(1);
        self.unverified += rest.saturating_sub(1);
        Some(same)
    }

    /// Counts so many facts without a look at them, if that is what they are due: after the first divergence.
    fn pass_over(&mut self, facts: u64) -> bool {
        if self.broken {
            self.facts += facts;
            self.unverified += facts;
        }
        self.broken
    }

    /// Forgets the facts so far, which count elsewhere, but not that one differed.
    fn leave_past(&mut self) {
        *self = Self { broken: self.broken, ..Self::default() };
    }

    /// Counts facts of which the first is predicted otherwise, or something is predicted that never happens.
    fn fail(&mut self, facts: u64) {
        self.broken = true;
        self.facts += facts;
        self.diverged += facts.min(1);
        self.unverified += facts.saturating_sub(1);
    }

    /// Counts facts that were predicted; if there was a divergence before, they are unverified.
    fn agree(&mut self, facts: u64) {
        if !self.pass_over(facts) {
            self.facts += facts;
            self.verified += facts;
        }
    }

    /// Counts facts that could not be compared.
    fn leave(&mut self, facts: u64) {
        self.facts += facts;
        self.unverified += facts;
    }

    /// Whether every fact is accounted for.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.facts == self.verified + self.diverged + self.unverified
    }
}

/// What a check came to.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Which check.
    pub name: Check,
    /// Facts observed.
    pub facts: u64,
    /// Facts that were predicted.
    pub verified: u64,
    /// Facts that were predicted otherwise: the first divergence.
    pub diverged: u64,
    /// Facts that could not be compared, because they come after the first divergence or the replay ended early.
    pub unverified: u64,
    /// Answers that had to be inputs, by kind.
    pub given: BTreeMap<&'static str, u64>,
    /// Why facts are unverified, or why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The first divergence, told in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Divergence>,
}

/// A first divergence, told in full.
#[derive(Clone, Debug, Serialize)]
pub struct Divergence {
    /// The event at which it showed; or the first one of the frame in which it did.
    pub event: u64,
    /// Whether only the frame is known.
    #[serde(skip)]
    pub is_frame: bool,
    /// What was predicted.
    pub predicted: String,
    /// What was observed.
    pub observed: String,
    /// What else is known of that place, a sentence each.
    pub details: Vec<String>,
}

impl Divergence {
    /// Where it showed, as far as that is known: words that go on from "diverged".
    #[must_use]
    pub fn place(&self) -> String {
        let Self { event, is_frame, .. } = self;
        if *is_frame { format!("in the frame from event {event} on") } else { format!("at event {event}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_conserved_whatever_diverges() {
        for (predicted, observed, verified, first) in [
            (vec![1, 2, 3], vec![1, 2, 3], 3, None),
            (vec![1, 9, 3], vec![1, 2, 3], 1, Some(1)),
            (vec![1], vec![1, 2, 3], 1, Some(1)),
            (vec![1, 2, 3], vec![1], 1, Some(1)),
            (vec![], vec![], 0, None),
        ] {
            let mut tally = Tally::default();
            assert_eq!(tally.compare(&predicted, &observed), first);
            assert_eq!(tally.verified, verified);
            assert_eq!(tally.broken, first.is_some());
            assert!(tally.is_conserved(), "{tally:?}");
        }
    }

    #[test]
    fn nothing_is_verified_after_a_divergence() {
        let mut tally = Tally::default();
        assert_eq!(tally.compare(&[1, 2], &[1, 3]), Some(1));
        assert_eq!(tally.compare(&[4, 5], &[4, 5]), None);
        assert_eq!(tally, Tally { facts: 4, verified: 1, diverged: 1, unverified: 2, broken: true });
    }
}
