//! What is said of a trace's collections: ready to be printed.

use std::cmp::Reverse;

use serde::Serialize;
use trace::{Object, Tier};

use super::timeline::Timeline;

/// What the collector did in one trace, and why. `COLLECTIONS.md` has the definitions.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The program's short name.
    pub program: String,
    /// The interpreter's version.
    pub python: String,
    /// How much the trace holds.
    pub tier: Tier,
    /// The trace whose past is this one's, up to the fork: that past is told of, too.
    pub forked_from: Option<String>,
    /// Calls of the memory manager.
    pub events: u64,
    /// How long the program ran under recording, in seconds; of a forked one, since the fork.
    pub seconds: f64,
    /// How many collections there were: that were replayed, and that were not seen.
    pub collections: u64,
    /// Of those, how many are as CPython did them, as far as it was observed. Absent where nothing was observed of them:
    /// where the trace itself tells that they begin, and what they found.
    pub verified: Option<u64>,
    /// Collections that were not seen.
    pub unseen: u64,
    /// From which event on nothing is known, since a collection was not seen there, and not how things are behind it.
    pub unseen_from: Option<u64>,
    /// Safe points at which no collection was due.
    pub idle: u64,
    /// By generation.
    pub generations: [Totals; 3],
    /// Over time.
    pub timeline: Timeline,
    /// Each, from the first on, up to ten thousand.
    pub list: Vec<Collection>,
    /// Those that found most, by how much.
    pub largest: Vec<Collection>,
    /// All garbage, by type: with most objects first.
    pub garbage: Vec<OfType>,
    /// Its cycles by kind. Absent if the trace does not tell who refers to whom.
    pub census: Option<Census>,
    /// Garbage that finalizers saved, by type.
    pub saved: Vec<OfType>,
    /// What has come to `gc.garbage`, by type.
    pub kept: Vec<Kept>,
    /// Whether it is known when the interpreter began to finalize.
    pub tells_exit: bool,
    /// Who was alive at the end, by type: with most objects at the end of the program first.
    pub alive: Vec<Alive>,
    /// Of the alive, containers that no collection looked at.
    pub alive_unknown: Alive,
    /// Why somebody was alive, if that was asked.
    pub why_alive: Option<WhyAlive>,
}

impl Report {
    /// How long the program ran under recording, in nanoseconds.
    #[must_use]
    pub fn nanoseconds(&self) -> u64 {
        let ran = std::time::Duration::try_from_secs_f64(self.seconds).unwrap_or_default();
        u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// How many objects, and the bytes of the blocks that they are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How many.
    pub objects: u64,
    /// Of the blocks, the collector's header included.
    pub bytes: u64,
}

impl Count {
    pub(super) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// Objects of a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfType {
    /// The type's name.
    #[serde(rename = "type")]
    pub name: String,
    /// How many.
    #[serde(flatten)]
    pub count: Count,
}

impl OfType {
    /// Those with most objects first.
    pub(super) fn all<'a>(counts: impl Iterator<Item = (&'a str, Count)>) -> Vec<Self> {
        let mut all: Vec<_> = counts.map(|(name, count)| Self { name: name.to_owned(), count }).collect();
        all.sort_by(|one, other| {
            (Reverse(one.count.objects), &one.name).cmp(&(Reverse(other.count.objects), &other.name))
        });
        all
    }
}

/// What the collections of a generation came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// How many there were.
    pub collections: u64,
    /// Of those, how many because a count was above its threshold.
    pub due: u64,
    /// How many the program asked for.
    pub asked: u64,
    /// How many the interpreter asked for as it ended.
    pub at_exit: u64,
    /// In how many of those that were due a full collection was held back: less than a quarter of the old objects was new.
    pub held_back: u64,
    /// For how many events those that were due waited for a safe point, in sum.
    pub armed: u64,
    /// The longest of that.
    pub armed_most: u64,
    /// Objects looked at.
    pub examined: u64,
    /// Found unreachable.
    pub unreachable: u64,
    /// Of those, saved by finalizers and callbacks.
    pub saved: u64,
    /// Of those, that could not be collected.
    pub uncollectable: u64,
    /// Finalizers that ran.
    pub finalizers: u64,
    /// Callbacks of weak references that ran.
    pub callbacks: u64,
    /// Of how many it was measured how long they took.
    pub measured: u64,
    /// How long these took, in nanoseconds: what the recorder read when they began is not counted.
    pub nanoseconds: u64,
    /// The longest.
    pub nanoseconds_most: u64,
}

/// Why a collection began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// The generation's count was above its threshold.
    Due,
    /// The program asked for it: `gc.collect`.
    Asked,
    /// The interpreter asked for it as it ended.
    AtExit,
}

/// One collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Collection {
    /// Its number, from 0.
    pub number: u64,
    /// The first event behind its beginning.
    pub event: u64,
    /// The generation, and all younger ones, were looked at.
    pub generation: u8,
    /// Objects found unreachable.
    pub unreachable: u64,
    /// How long it took, if that was measured: an observation, without what the recorder read when it began.
    pub nanoseconds: Option<u64>,
    /// What else is known. Absent where the trace tells no more.
    pub details: Option<Details>,
}

/// What is known of a collection if its graph is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Details {
    /// Why it began.
    pub why: Why,
    /// The counts of the generations before it.
    pub counts: [u64; 3],
    /// Their thresholds.
    pub thresholds: [i32; 3],
    /// The event whose allocation made it due, if it then waited for a safe point.
    pub armed: Option<u64>,
    /// A full collection was held back: how many objects had come to the oldest generation, and how many it takes.
    pub held_back: Option<[u64; 2]>,
    /// Objects looked at.
    pub examined: u64,
    /// Garbage that finalizers and callbacks saved.
    pub saved: u64,
    /// Garbage that was not collected.
    pub uncollectable: u64,
    /// Finalizers that ran.
    pub finalizers: u64,
    /// Callbacks of weak references that ran.
    pub callbacks: u64,
    /// Whether all is as CPython did it, as far as that was observed.
    pub verified: bool,
}

/// The cycles of all garbage, by kind.
#[derive(Clone, Debug, Serialize)]
pub struct Census {
    /// The kinds, those with most objects first.
    pub cycles: Vec<Cycle>,
    /// All others, if there were too many kinds to be told apart.
    pub others: Option<Cycle>,
    /// Garbage that is in no cycle and does not hang off one.
    pub in_no_cycle: Count,
    /// Whether some garbage was so large that a shorter cycle may have been missed, or what is retained is not known.
    pub is_limited: bool,
}

/// How the types along a cycle are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// All of them.
    Whole,
    /// Those that come again and again, in a cycle of more than eight.
    Repeated,
    /// The first eight.
    Cut,
}

/// Cycles of a kind.
#[derive(Clone, Debug, Serialize)]
pub struct Cycle {
    /// The types along a shortest cycle: each refers to the next, the last to the first.
    pub signature: Vec<String>,
    /// Whether these are all.
    pub form: Form,
    /// How long the cycles are: the shortest, the longest.
    pub lengths: [u64; 2],
    /// How many there were. Cycles that share objects are one.
    pub times: u64,
    /// The objects in them: each can be reached from each other in the same one.
    pub members: Count,
    /// Those that hang off them, in no cycle.
    pub hanging: Count,
    /// The most bytes that one of them retained, with what only it reached. 0 if that is not known.
    pub retained_most: u64,
    /// How many were found by a collection of each generation.
    pub found_in: [u64; 3],
    /// How many events they can have waited at most, on average.
    pub waited_mean: u64,
    /// The longest that one can have waited at most.
    pub waited_most: u64,
    /// All objects in them and off them, by type.
    pub types: Vec<OfType>,
    /// The smallest.
    pub example: Option<Example>,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its number.
    pub object: Object,
    /// Its type.
    #[serde(rename = "type")]
    pub of: String,
    /// Of its block; 0 if it is in none that was recorded.
    pub bytes: u64,
}

/// One of the cycles of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The collection that found it.
    pub collection: u64,
    /// When that began.
    pub event: u64,
    /// Of which generation it was.
    pub generation: u8,
    /// How many events it can have waited at most.
    pub waited: u64,
    /// How many objects the cycle has.
    pub length: u64,
    /// How many objects can be reached from all others of it, those of the cycle included.
    pub members: u64,
    /// How many hang off it.
    pub hanging: u64,
    /// The objects of the cycle, up to 64.
    pub cycle: Vec<Member>,
    /// The reference of the cycle that closed it: to its youngest object.
    pub closing: [Object; 2],
    /// Some of the others.
    pub others: Vec<Member>,
    /// References among all of these.
    pub references: Vec<[Object; 2]>,
}

/// What has come to `gc.garbage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// The type.
    #[serde(rename = "type")]
    pub name: String,
    /// Why.
    pub why: WhyKept,
    /// How many.
    #[serde(flatten)]
    pub count: Count,
}

/// Why garbage is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyKept {
    /// It has a finalizer of the older kind (`tp_del`), which no collector runs.
    LegacyFinalizer,
    /// `gc.DEBUG_SAVEALL` is set.
    SaveAll,
}

/// Containers that were alive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Alive {
    /// The type; absent if no collection looked at them.
    #[serde(rename = "type")]
    pub name: Option<String>,
    /// When the interpreter began to finalize.
    pub at_exit: Count,
    /// When the recording ended.
    pub at_end: Count,
}

/// Why somebody was alive, as of one collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WhyAlive {
    /// Who was asked for.
    pub asked: String,
    /// What the collection saw.
    pub picture: Picture,
}

/// Why it is this collection of which is told what it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taken {
    /// It has the number that was asked for.
    ByNumber,
    /// It is the last full one, of those that looked at such objects before the interpreter began to end.
    LastFull,
    /// Of those, none was full: it is the first full one since then.
    FirstAtExit,
    /// None that looked at such objects was full: it is the last of those that looked at most generations.
    NoneFull,
}

/// What a collection saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Picture {
    /// Which collection.
    pub collection: u64,
    /// When it began.
    pub event: u64,
    /// It looked at this generation, and those younger.
    pub generation: u8,
    /// Why it is this one.
    pub taken: Taken,
    /// How many of those asked for it looked at.
    pub examined: u64,
    /// Of those, how many were garbage.
    pub unreachable: u64,
    /// Ways by which they are held, by the types along them: those that hold most first.
    pub ways: Vec<Way>,
    /// How many more there are of such ways, that hold fewer.
    pub more_ways: u64,
}

/// A shortest way from outside to objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    /// How many objects are held by shortest ways with these types along.
    pub holds: u64,
    /// One of them, from the one that is held from outside to the one that was asked for; if it is long, its end.
    pub path: Vec<Member>,
    /// How long it is.
    pub length: u64,
    /// How many references to the first one no container explains that the collection looked at; absent if that one is immortal.
    pub outside: Option<u64>,
}
