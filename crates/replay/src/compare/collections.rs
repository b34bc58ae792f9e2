//! The checks of collections: `schedule`, which is due when; `partition`, who is garbage; `survivors`, who stands where on the
//! lists; and `stats`, what the collector counts.

use std::collections::VecDeque;

use hashbrown::HashSet;
use trace::{Collection, Object, Tier};

use super::Tally;
use crate::engine::{
    CollectionCounts, CollectionPredictions, GivenOfCollections, PredictedCollection, Unseen,
};

/// Names of the numbers of a collection.
pub const NUMBERS: [&str; 10] = [
    "collected",
    "uncollectable",
    "the count of generation 0 before",
    "the count of generation 1 before",
    "the count of generation 2 before",
    "the count of generation 0 after",
    "the count of generation 1 after",
    "the count of generation 2 after",
    "survivors of the last full collection",
    "arrivals in the oldest generation since",
];

/// Where something was predicted otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectionDivergence {
    /// Which collection, counted from 0.
    pub collection: u64,
    /// The event before which it began.
    pub event: u64,
    /// What differs.
    pub what: Difference,
}

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// When a collection begins, or of which generation: predicted, observed.
    Begins([Option<(u64, Option<u8>)>; 2]),
    /// Somebody was predicted to be garbage and lives on.
    Lives(Object),
    /// Somebody was predicted to be garbage whom petgraph reaches.
    Reached(Object),
    /// Somebody was predicted to be reachable whom petgraph does not reach.
    Unreached(Object),
    /// How many objects the collection looked at: by what is told of them, and observed.
    Candidates([u64; 2]),
    /// Another one stands at this place: predicted, observed.
    Survivor(u64, [Option<Object>; 2]),
    /// A number, by its place among [`NUMBERS`]: predicted, observed.
    Number(usize, [u64; 2]),
}

/// Compares collections.
#[derive(Debug, Default)]
pub struct Collections {
    predicted: VecDeque<PredictedCollection>,
    compared: u64,
    tallies: [Tally; 4],
    firsts: [Option<CollectionDivergence>; 4],
    /// Answers that had to be inputs.
    pub given: GivenOfCollections,
    /// What collections do, counted.
    pub counts: CollectionCounts,
    /// Those that were not seen.
    pub unseen: u64,
    /// Those that could be reached, or not, without that showing: they had died before anybody looked at the list.
    pub hidden: u64,
    /// Garbage of which only the number shows that it was: it stood where survivors do when somebody looked, and died then.
    pub counted: u64,
    tells_deaths: bool,
    /// Something was predicted to begin otherwise.
    is_wrong: bool,
    /// Nothing is predicted any more.
    is_lost: bool,
}

/// What was seen of those that a collection looked at.
struct Seen {
    /// Those that are predicted to be garbage, and to stay that.
    garbage: HashSet<Object>,
    /// Those that are predicted to be reachable, and were on no list any more when it was read: they died when the garbage did, by
    /// references that nobody tells of.
    gone: HashSet<Object>,
    /// The same of those that are on no list, as was predicted.
    off_lists: u64,
    /// Garbage that was on the list, behind the others, and died then: the collector moves what outlives its own clearing there.
    moved: HashSet<Object>,
    /// Whether the collector's count says that they are: it is that of the garbage, and nobody else may be meant.
    are_counted: bool,
}

impl Seen {
    fn of(observed: &Collection, predicted: &PredictedCollection, tells_deaths: bool) -> Self {
        let mut garbage: HashSet<Object> = predicted.unreachable.iter().copied().collect();
        let (reachable, saved) =
            predicted.survivors.split_at(predicted.survivors.len().saturating_sub(predicted.saved));
        for object in saved.iter().chain(&predicted.revived) {
            garbage.remove(object);
        }
        let dead: HashSet<Object> = observed.dead.iter().copied().collect();
        let on_list: HashSet<Object> = observed.survivors.iter().copied().collect();
        let survive: HashSet<Object> = reachable.iter().copied().collect();
        let behind = observed.survivors.iter().rev().take_while(|object| !survive.contains(*object));
        let moved =
            behind.copied().filter(|object| garbage.contains(object) && dead.contains(object)).collect();
        let expected = predicted.survivors.iter().chain(&predicted.called);
        let may_be_gone = predicted.kept.iter().chain(expected.filter(|object| dead.contains(*object)));
        let gone: HashSet<Object> = may_be_gone.copied().filter(|object| !on_list.contains(object)).collect();
        let is_off = |object: &&Object| {
            let is_among = |others: &HashSet<Object>| others.contains(*object);
            ![&garbage, &survive, &on_list, &gone].into_iter().any(is_among)
        };
        let off_lists = observed.dead.iter().filter(is_off).count() as u64;
        // Whoever was on the list before them, or is on none and lives, was not collected. So if nobody else has died, the objects
        // that the collector has counted are among the garbage; and if they are as many, they are all of it. (Unless deaths are told,
        // only full collections show all: they give kept memory back.)
        let counts = [observed.collected, observed.uncollectable];
        let is_certain = !predicted.runs_code && (tells_deaths || observed.generation == Some(2));
        let are_counted = is_certain && gone.is_empty() && off_lists == 0 && predicted.numbers[..2] == counts;
        Self { garbage, gone, off_lists, moved, are_counted }
    }

    /// How many of those that were moved are known by the collector's count only.
    fn counted(&self) -> u64 {
        if self.are_counted { self.moved.len() as u64 } else { 0 }
    }

    /// Of how many it did not show what they were.
    fn hidden(&self) -> u64 {
        self.gone.len() as u64 + self.off_lists + self.moved.len() as u64 - self.counted()
    }
}

const SCHEDULE: usize = 0;
const PARTITION: usize = 1;
const SURVIVORS: usize = 2;
const STATS: usize = 3;

impl Collections {
    /// Of a trace of this tier.
    #[must_use]
    pub fn new(tier: Tier) -> Self {
        Self { tells_deaths: tier > Tier::Collections, ..Self::default() }
    }

    /// Compares a frame.
    pub fn frame(&mut self, observed: &[Collection], predictions: &mut CollectionPredictions) {
        self.given.add(&predictions.given);
        self.counts.add(&predictions.counts);
        self.predicted.extend(predictions.collections.drain(..));
        for collection in observed {
            self.collection(collection);
        }
    }

    fn collection(&mut self, observed: &Collection) {
        let facts = observed.facts();
        if observed.generation.is_none() {
            return self.is_unseen(observed, facts);
        }
        if self.is_lost || self.is_wrong {
            return self.leave(facts);
        }
        let predicted = self.predicted.pop_front().unwrap_or_default();
        let begins = (observed.event, observed.generation);
        if (predicted.event, predicted.generation) != begins {
            let predicted = predicted.generation.map(|_| (predicted.event, predicted.generation));
            self.diverges(SCHEDULE, observed, facts[0], Difference::Begins([predicted, Some(begins)]));
            self.is_wrong = true;
            (1..4).for_each(|check| self.tallies[check].leave(facts[check]));
            return;
        }
        self.tallies[SCHEDULE].agree(1);
        let seen = Seen::of(observed, &predicted, self.tells_deaths);
        self.partition(observed, &predicted, facts[PARTITION], &seen);
        self.survivors(observed, &predicted, facts[SURVIVORS], &seen);
        let [a, b, c] = observed.counts_before;
        let [d, e, f] = observed.counts;
        let [total, pending] = observed.long_lived;
        let numbers = [a, b, c, d, e, f].map(u64::from);
        let numbers =
            [&[observed.collected, observed.uncollectable], &numbers[..], &[total, pending]].concat();
        let differs: Vec<_> =
            (0..numbers.len()).filter(|at| numbers[*at] != predicted.numbers[*at]).collect();
        // How many weak references died with their callbacks is not seen.
        let is_unseen = differs.first() == Some(&0) && predicted.runs_code && !predicted.is_exact;
        let unseen = u64::from(is_unseen);
        self.tallies[STATS].leave(unseen);
        match differs.get(usize::from(is_unseen)) {
            None => self.tallies[STATS].agree(facts[STATS] - unseen),
            Some(&at) => {
                let what = Difference::Number(at, [predicted.numbers[at], numbers[at]]);
                let before = at as u64 - unseen;
                self.tallies[STATS].agree(before);
                self.diverges(STATS, observed, facts[STATS] - unseen - before, what);
            }
        }
        self.compared += 1;
    }

    /// A collection was not seen: what was predicted up to there is not compared.
    fn is_unseen(&mut self, observed: &Collection, facts: [u64; 4]) {
        self.unseen += 1;
        let mut begun = Vec::new();
        let mut unseen = None;
        while unseen.is_none()
            && let Some(predicted) = self.predicted.pop_front()
        {
            unseen = predicted.unseen;
            if unseen.is_none() {
                begun.push((predicted.event, predicted.generation));
            }
        }
        self.is_lost = unseen != Some(Unseen::Recovered);
        // One of them may be that which was not seen.
        if let [first, _, ..] = begun[..]
            && !self.is_wrong
        {
            self.diverges(SCHEDULE, observed, facts[SCHEDULE], Difference::Begins([Some(first), None]));
            self.is_wrong = true;
            (1..4).for_each(|check| self.tallies[check].leave(facts[check]));
        } else {
            self.leave(facts);
        }
    }

    /// Whether nothing is known any more behind a collection that was not seen.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    fn partition(&mut self, observed: &Collection, predicted: &PredictedCollection, facts: u64, seen: &Seen) {
        let lives = |object: &&Object| seen.garbage.contains(*object) && !seen.moved.contains(*object);
        if let Some(object) = observed.survivors.iter().find(lives) {
            return self.diverges(PARTITION, observed, facts, Difference::Lives(*object));
        }
        self.hidden += seen.hidden();
        self.counted += seen.counted();
        // Those that were saved are given, as far as it follows from that that they live.
        let given = (predicted.revived.len() as u64 + seen.hidden()).min(facts);
        self.tallies[PARTITION].agree(facts - given);
        self.tallies[PARTITION].leave(given);
    }

    fn survivors(&mut self, observed: &Collection, predicted: &PredictedCollection, facts: u64, seen: &Seen) {
        let mut list = observed.survivors.clone();
        list.retain(|object| !seen.moved.contains(object));
        let moved = (observed.survivors.len() - list.len()) as u64;
        let counted = if seen.are_counted { moved } else { 0 };
        let mut given = moved - counted;
        if predicted.runs_code {
            // What was saved stands behind the others, as it is told.
            let revived: HashSet<Object> = predicted.revived.iter().copied().collect();
            let behind = list.iter().rev().take_while(|object| revived.contains(*object)).count();
            given += behind as u64;
            list.truncate(list.len() - behind);
        }
        let mut expected = predicted.survivors.clone();
        expected.extend(&predicted.called);
        expected.retain(|object| !seen.gone.contains(object));
        let same = expected.iter().zip(&list).take_while(|(predicted, seen)| predicted == seen).count();
        if same == list.len() && same == expected.len() {
            self.tallies[SURVIVORS].agree(same as u64 + counted);
            self.tallies[SURVIVORS].leave(given);
        } else {
            let what =
                Difference::Survivor(same as u64, [expected.get(same).copied(), list.get(same).copied()]);
            self.tallies[SURVIVORS].agree((same as u64).min(facts));
            self.tallies[SURVIVORS].leave(given.min(facts));
            self.diverges(SURVIVORS, observed, facts.saturating_sub(same as u64 + given), what);
        }
    }

    fn diverges(&mut self, check: usize, observed: &Collection, facts: u64, what: Difference) {
        if !self.tallies[check].pass_over(facts) {
            self.tallies[check].fail(facts);
            let (collection, event) = (self.compared, observed.event);
            self.firsts[check] = Some(CollectionDivergence { collection, event, what });
        }
    }

    fn leave(&mut self, facts: [u64; 4]) {
        self.tallies.iter_mut().zip(facts).for_each(|(tally, facts)| tally.leave(facts));
    }

    /// There are no further frames.
    pub fn finish(&mut self) {
        // One that is predicted and never happened.
        if let (Some(predicted), false) = (self.predicted.front(), self.is_lost || self.is_wrong) {
            let what = Difference::Begins([Some((predicted.event, predicted.generation)), None]);
            let observed = Collection { event: predicted.event, ..Collection::default() };
            self.diverges(SCHEDULE, &observed, 0, what);
        }
    }

    /// What became of the facts of a check, and where they differ first: of the schedule, the partition, the survivors, and the
    /// collector's numbers, in this order.
    #[must_use]
    pub fn checks(&self) -> [(Tally, Option<CollectionDivergence>); 4] {
        [0, 1, 2, 3].map(|check| (self.tallies[check], self.firsts[check]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(event: u64) -> (PredictedCollection, Collection) {
        let generation = Some(0);
        let predicted = PredictedCollection { event, generation, ..PredictedCollection::default() };
        (predicted, Collection { event, generation, candidates: 5, ..Collection::default() })
    }

    fn unseen(event: u64, unseen: Unseen) -> (PredictedCollection, Collection) {
        let predicted = PredictedCollection { event, unseen: Some(unseen), ..PredictedCollection::default() };
        (predicted, Collection { event, ..Collection::default() })
    }

    /// What becomes of the schedule's facts: verified, diverged, unverified; and where it differs first.
    fn compared(
        predicted: Vec<PredictedCollection>,
        observed: &[Collection],
    ) -> ([u64; 3], Option<CollectionDivergence>) {
        let mut all = Collections::default();
        let mut predictions = CollectionPredictions { collections: predicted, ..Default::default() };
        all.frame(observed, &mut predictions);
        all.finish();
        let checks = all.checks();
        assert!(checks.iter().all(|(tally, _)| tally.is_conserved()));
        let [(schedule, first), (partition, _), ..] = checks;
        assert_eq!(partition.verified, 5 * schedule.verified);
        ([schedule.verified, schedule.diverged, schedule.unverified], first)
    }

    #[test]
    fn a_collection_that_was_not_seen_costs_itself() {
        let all = [seen(3), unseen(5, Unseen::Recovered), seen(7), unseen(9, Unseen::Recovered)];
        let (predicted, observed): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        assert_eq!(compared(predicted, &observed), ([2, 0, 2], None));
    }

    #[test]
    fn what_is_predicted_of_it_is_dropped_but_no_more() {
        let [(one, _), (other, _), (next, after)] = [seen(4), seen(5), seen(7)];
        let (marked, lost) = unseen(6, Unseen::Recovered);
        let observed = [lost, after];
        let predicted = vec![one.clone(), marked.clone(), next.clone()];
        assert_eq!(compared(predicted, &observed), ([1, 0, 1], None));
        // Only one of these can be that which was not seen.
        let (tally, first) = compared(vec![one, other, marked, next], &observed);
        assert_eq!(tally, [0, 1, 1]);
        assert_eq!(first.unwrap().what, Difference::Begins([Some((4, Some(0))), None]));
    }

    #[test]
    fn nothing_is_compared_where_nothing_is_known_nor_behind_what_was_wrong() {
        let (marked, lost) = unseen(5, Unseen::Lost);
        let (_, after) = seen(7);
        assert_eq!(compared(vec![marked], &[lost, after.clone()]), ([0, 0, 2], None));
        // A collection that was not seen mends nothing.
        let (marked, lost) = unseen(5, Unseen::Recovered);
        let (wrong, _) = seen(2);
        let (next, _) = seen(7);
        let (_, before) = seen(3);
        let (tally, first) = compared(vec![wrong, marked, next], &[before, lost, after]);
        assert_eq!((tally, first.unwrap().event), ([0, 1, 2], 3));
    }

    /// Of six objects 1, 2 and 3 are garbage, 5 leaves the lists, and 0 and 4 stay.
    fn predicted() -> PredictedCollection {
        PredictedCollection {
            generation: Some(0),
            unreachable: vec![1, 2, 3],
            survivors: vec![0, 4],
            numbers: [3, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ..PredictedCollection::default()
        }
    }

    /// What is said of the partition and of the survivors, how many were hidden, and how many counted.
    fn parted(tier: Tier, survivors: &[Object], dead: &[Object], collected: u64) -> ([Tally; 2], u64, u64) {
        let mut compared = Collections::new(tier);
        let mut predictions =
            CollectionPredictions { collections: vec![predicted()], ..CollectionPredictions::default() };
        let (survivors, dead) = (survivors.to_vec(), dead.to_vec());
        let observed = Collection {
            generation: Some(0),
            candidates: 6,
            collected,
            survivors,
            dead,
            ..Collection::default()
        };
        compared.frame(&[observed], &mut predictions);
        let [_, (partition, _), (survivors, _), _] = compared.checks();
        assert!(partition.is_conserved() && survivors.is_conserved());
        ([partition, survivors], compared.hidden, compared.counted)
    }

    fn unverified(tallies: &[Tally; 2]) -> [u64; 2] {
        assert_eq!(tallies.map(|tally| tally.diverged), [0, 0]);
        tallies.map(|tally| tally.unverified)
    }

    #[test]
    fn who_dies_with_the_garbage_is_hidden_only_if_nobody_saw_it_alive() {
        for (survivors, dead, hidden) in [
            (&[0, 4][..], &[1, 2, 3][..], 0),
            (&[0, 4], &[1, 2, 3, 4], 0),
            (&[0], &[1, 2, 3, 4], 1),
            // That of which it was predicted that it leaves the lists.
            (&[0, 4], &[1, 2, 3, 5], 1),
        ] {
            let (tallies, found, counted) = parted(Tier::Collections, survivors, dead, 3);
            assert_eq!(
                (unverified(&tallies), found, counted),
                ([hidden, 0], hidden, 0),
                "{survivors:?} {dead:?}"
            );
        }
    }

    #[test]
    fn garbage_behind_the_survivors_is_known_by_the_count_if_all_deaths_are() {
        let lists = (&[0, 4, 1][..], &[1, 2, 3][..]);
        let (tallies, hidden, counted) = parted(Tier::Collections, lists.0, lists.1, 3);
        assert_eq!((unverified(&tallies), hidden, counted), ([1, 1], 1, 0));
        let (tallies, hidden, counted) = parted(Tier::Objects, lists.0, lists.1, 3);
        assert_eq!((unverified(&tallies), hidden, counted), ([0, 0], 0, 1));
        // One less was counted: that may be the one which died then.
        let (tallies, hidden, counted) = parted(Tier::Objects, lists.0, lists.1, 2);
        assert_eq!((unverified(&tallies), hidden, counted), ([1, 1], 1, 0));
        // Somebody else died of whom it is not known.
        let (tallies, hidden, counted) = parted(Tier::Objects, lists.0, &[1, 2, 3, 5], 3);
        assert_eq!((unverified(&tallies), hidden, counted), ([2, 1], 2, 0));
    }

    #[test]
    fn garbage_among_the_survivors_and_garbage_that_lives_is_none() {
        for (survivors, dead) in
            [(&[1, 0, 4][..], &[1, 2, 3][..]), (&[0, 1, 4], &[1, 2, 3]), (&[0, 4, 1], &[2, 3])]
        {
            for tier in [Tier::Collections, Tier::Objects] {
                let ([partition, _], ..) = parted(tier, survivors, dead, 3);
                assert_eq!((partition.diverged, partition.unverified), (1, 5), "{survivors:?} {dead:?}");
            }
        }
    }
}
