//! What the engine of collections lets others see while it replays: the graph that a predicted collection looks at, and what
//! it makes of that.

use bumpalo::Bump;
use cycles::{Graph, Outcome, Partition, Snapshot};
use generations::{HeldBack, Why};
use trace::{Block, Object, PackedInput, TypeNumber};

use super::PredictedCollection;
use super::heap::{Id, Members};

/// Who follows a replay of collections. It sees inputs and predictions, and changes nothing.
pub trait Watch {
    /// An event, before anything follows from it; and whether it is the birth of a container's block.
    #[inline]
    fn input(&mut self, event: u64, input: PackedInput, is_container: bool) {
        let _ = (event, input, is_container);
    }

    /// The allocation that is this event has made a collection due, at the next safe point.
    fn armed(&mut self, event: u64) {
        let _ = event;
    }

    /// A collection has found who is garbage; none of that is cleared yet.
    fn looks(&mut self, seen: &Seen<'_>) {
        let _ = seen;
    }

    /// The collection that looked last is over.
    fn over(&mut self, over: &Over<'_>) {
        let _ = over;
    }

    /// A collection was not seen, before this event; whether it is known how things are behind it. If not, what follows cannot be
    /// predicted.
    fn unseen(&mut self, event: u64, is_known_behind: bool) {
        let _ = (event, is_known_behind);
    }
}

/// Nobody follows it.
impl Watch for () {}

/// What a collection looks at. Objects are named by their places on its list, from 0.
pub struct Seen<'a> {
    /// The first event behind its beginning.
    pub event: u64,
    /// Of which generation it is.
    pub generation: u8,
    /// Why it has begun.
    pub why: Why,
    /// The counts of the generations before it.
    pub counts: [u64; 3],
    /// Their thresholds.
    pub thresholds: [i32; 3],
    /// Why it is no full collection, though the oldest generation's count is above its threshold.
    pub held_back: Option<HeldBack>,
    /// Whether garbage is kept for somebody to look at.
    pub saves_all: bool,
    /// What it has come to so far.
    pub outcome: Outcome,
    pub(super) members: &'a Members,
    pub(super) snapshot: Snapshot<'a, Id>,
    pub(super) partition: Partition<'a>,
}

impl<'a> Seen<'a> {
    /// How many objects it looks at, immortal ones among them.
    #[must_use]
    pub fn objects(&self) -> u32 {
        u32::try_from(self.snapshot.objects().len()).unwrap_or(u32::MAX)
    }

    /// The number of an object.
    ///
    /// # Panics
    /// If there is none at this place; so do the others.
    #[must_use]
    pub fn object(&self, at: u32) -> Object {
        self.members.object(self.id(at))
    }

    /// The number of its type.
    #[must_use]
    pub fn of(&self, at: u32) -> TypeNumber {
        self.members.of(self.id(at))
    }

    /// The block that it is in, if it is in a recorded one.
    #[must_use]
    pub fn block(&self, at: u32) -> Option<Block> {
        self.members.block(self.id(at))
    }

    /// How many references to it are not from the objects here; `None` if it is immortal.
    #[must_use]
    pub fn outside(&self, at: u32) -> Option<u32> {
        self.snapshot.outside(at)
    }

    /// The objects here to which it refers, as often as it does.
    #[must_use]
    pub fn referents(&self, at: u32) -> &'a [u32] {
        self.snapshot.referents(at)
    }

    /// Whether it has a finalizer that no collector dares to run.
    #[must_use]
    pub fn is_uncollectable(&self, at: u32) -> bool {
        cycles::Containers::is_uncollectable(self.members, self.id(at))
    }

    /// Whether it is garbage.
    #[must_use]
    pub fn is_unreachable(&self, at: u32) -> bool {
        self.partition.is_unreachable(at)
    }

    /// The garbage, in the order of the list.
    pub fn unreachable(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.partition.unreachable()
    }

    /// The garbage as a graph: its nodes' numbers are places on the list.
    #[must_use]
    pub fn garbage<'b>(&self, scratch: &'b Bump) -> Graph<'b>
    where
        'a: 'b,
    {
        Graph::among(&self.snapshot, self.partition.unreachable(), scratch)
    }

    fn id(&self, at: u32) -> Id {
        self.snapshot.objects()[at as usize]
    }
}

/// A collection that is over.
pub struct Over<'a> {
    /// What was predicted of it.
    pub predicted: &'a PredictedCollection,
    /// What it has come to.
    pub outcome: Outcome,
    /// Garbage that was left, if code of the program may have run: that is told. What was kept is among it.
    pub saved: &'a [Object],
    /// Who has come to `gc.garbage`, in order.
    pub kept: &'a [Object],
}
