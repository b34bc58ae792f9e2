//! Collections: what the collector was told to do, what it looked at, and what was left. The vocabulary of tier
//! `collections`.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::objects::{Begins, Object, TypeInfo, TypeNumber};

pub(crate) use decode::{Known, decode};
pub(crate) use encode::Encoder;

/// A count that means that the object is immortal.
pub const IMMORTAL: u64 = u64::MAX;
/// Instead of a referent: a container that is on no list.
pub const UNTRACKED: Object = u64::MAX;

/// What a program made of the collector, or its interpreter did: an input of the replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorStep {
    /// The number of the first event that came after it.
    pub event: u64,
    /// What it was.
    pub what: CollectorAction,
}

/// See [`CollectorStep`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CollectorAction {
    /// These are the settings from here on.
    Settings(CollectorSettings),
    /// The program asks for the collection of this generation, and all younger ones.
    Asks(u8),
    /// The interpreter is at a safe point, at which it looks whether a collection is due; or it ends, and collects, where that cannot
    /// be told from it.
    SafePoint,
    /// The interpreter ends, and collects, whatever is due.
    Ends,
    /// The collector has run all its finalizers, and looks again: what it then looks at is to be fetched, as far as it has changed.
    Finalized,
    /// The collection is over: what ran in it has returned. Of one in which code of the program may have run, these are the
    /// containers that were on its list then, in order.
    Over(Option<Vec<Object>>),
    /// A collection was not seen; how things are behind it, if that is known.
    Lost(Option<Behind>),
    /// The functions of the program have returned that the collector called back: when the collection had begun, and now it looks at
    /// its objects; or when it was over, and now others may begin.
    CalledBack,
    /// The last allocation made a collection due, which does not begin: an exception is on its way through the thread.
    Exception,
    /// What is released next is released by another interpreter, and counts for the collector of that.
    Elsewhere,
    /// What is released next is a container that another interpreter has allocated, and counts for this collector, though it did not
    /// when it was allocated.
    Here,
}

/// How things are behind a collection that was not seen. What is on the lists is to be told anew: nobody is known to be on one
/// any more, but for those that are never collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// The counts of the three generations.
    pub counts: [u32; 3],
    /// How many objects had survived the last full collection, and how many had come to the oldest generation since.
    pub long_lived: [u64; 2],
    /// How often it was told so far what a collection looks at: all that is behind.
    pub graphs: u64,
}

/// The settings of a collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectorSettings {
    /// The threshold of each generation.
    pub thresholds: [u32; 3],
    /// Whether it collects by itself.
    pub enabled: bool,
    /// The flags for debugging that it has.
    pub flags: u32,
    /// Whether it calls functions of the program back when a collection begins, and when it is over (`gc.callbacks`).
    pub calls_back: bool,
    /// What became of the objects that are never collected.
    pub permanent: Permanent,
}

/// What became of the objects that are never collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Permanent {
    /// Nothing.
    #[default]
    Unchanged,
    /// All that were on a list of a generation are among them.
    More,
    /// They are in the oldest generation.
    None,
}

/// An object that has come to the list of the youngest generation. It gets the next number: one that was on a list before,
/// and comes again, is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its type.
    pub of: TypeNumber,
    /// Where it is.
    pub begins: Begins,
}

/// What is told of an object that the collector looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Who.
    pub object: Object,
    /// How many references there are to it, or [`IMMORTAL`]; `None` if as many as when it was last told.
    pub count: Option<u64>,
    /// To which containers it refers, in the order of its `tp_traverse`, and as often as it does; [`UNTRACKED`] for those that are
    /// on no list. `None` if that is as when it was last told.
    pub referents: Option<Vec<Object>>,
    /// Which of the `referents` it refers to without being counted, by their places among them, in order: CPython's collector
    /// follows these references, but does not take them off a count.
    pub uncounted: Vec<u32>,
    /// Whether it tells of no reference itself, and `referents` are the values of a dictionary that are in the object which the
    /// dictionary belongs to: that one tells of them.
    pub is_embedded: bool,
    /// The weak references with callbacks to it, in the order in which it has them.
    pub weak: Vec<Object>,
    /// Whether it has been finalized before.
    pub is_finalized: bool,
}

/// What the collector looks at: fetched when a collection was predicted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Up to which generation it tells.
    pub oldest: u8,
    /// Those of the youngest generation, in the order of the list.
    pub arrivals: Vec<Arrival>,
    /// Those that were on a list of an older generation and are not any more, for a reason that the trace does not hold.
    pub gone: Vec<Object>,
    /// Those that were on no list and have come to that of an older generation, in its order.
    pub came: Vec<(u8, Object)>,
    /// What is told of them: of all arrivals, in order; then of those of older generations of whom something has changed.
    pub told: Vec<Told>,
}

/// What a collection did: an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// The number of the first event that came after its beginning.
    pub event: u64,
    /// The generation; `None` if it is not known what it did.
    pub generation: Option<u8>,
    /// Of how many objects there is an answer: as many as were on the lists that it looked at.
    pub candidates: u64,
    /// How many objects were collected, as it counts them.
    pub collected: u64,
    /// How many could not be.
    pub uncollectable: u64,
    /// The counts of the generations before it, and after it.
    pub counts_before: [u32; 3],
    /// See `counts_before`.
    pub counts: [u32; 3],
    /// How many objects had survived the last full collection, and how many had come to the oldest generation since.
    pub long_lived: [u64; 2],
    /// How long it took, in nanoseconds, if that was measured: without the time that it took to tell what it looks at.
    pub nanoseconds: Option<u64>,
    /// Those that came to the tail of a list, in its order: that of the next older generation, or of the oldest, in a full
    /// collection. If they were seen there when the collection had just told garbage from them, some of them may have died since:
    /// these are among the `dead`, too.
    pub survivors: Vec<Object>,
    /// Those whose blocks were released before it was over, or, where deaths are told, that died before, in that order; then those of
    /// `survivors` that are not there any more though their blocks are.
    pub dead: Vec<Object>,
}

impl Collection {
    /// How many answers it has: when it began, and which generation; of each candidate; of the survivors' order; and ten
    /// numbers.
    #[must_use]
    pub fn facts(&self) -> [u64; 4] {
        let known = u64::from(self.generation.is_some());
        [1, self.candidates * known, self.survivors.len() as u64, 10 * known]
    }
}

/// The part of a frame that is about collections.
#[derive(Debug, Default)]
pub struct CollectionFrame {
    /// What the program and the interpreter did.
    pub steps: Vec<CollectorStep>,
    /// Types, in the order in which they are described.
    pub types: Vec<TypeInfo>,
    /// Which of the blocks that were allocated for objects are containers: a bit for each, the lowest first.
    pub containers: Vec<u8>,
    /// What can be fetched.
    pub graphs: VecDeque<Graph>,
}

impl CollectionFrame {
    pub(crate) fn clear(&mut self) {
        self.steps.clear();
        self.types.clear();
        self.containers.clear();
        self.graphs.clear();
    }

    /// Whether the `at`-th block of the frame that was allocated for an object is a container.
    #[inline]
    #[must_use]
    pub fn is_container(&self, at: usize) -> bool {
        self.containers.get(at / 8).is_some_and(|bits| bits >> (at % 8) & 1 != 0)
    }
}
