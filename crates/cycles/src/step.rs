//! What goes into a collection, what it asks for, and what comes out.

use crate::lists::ListId;
#[cfg(doc)]
use crate::{Immortals, Untracks};

/// What a collection is to look at, and where what survives goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The list that is collected.
    pub young: ListId,
    /// Where its survivors go: to the tail. The list itself in a full collection.
    pub old: ListId,
    /// Where immortal objects are put, by [`Immortals::Permanent`].
    pub permanent: ListId,
    /// Whether garbage is kept for somebody to look at, and not cleared. (CPython's `DEBUG_SAVEALL`.)
    pub saves_all: bool,
}

impl Plan {
    /// Whether it is the collection of all that can be collected.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.young == self.old
    }
}

/// What the driver is to do next. It may change the heap in any way meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step<I> {
    /// Run the callback of this weak reference, which is cleared already.
    Callback(I),
    /// Run the finalizer of this object.
    Finalize(I),
    /// Let this object give up the references that it owns, as far as it can do so and go on to exist.
    Clear(I),
    /// Put this object among the garbage that nobody collects, which refers to it from here on.
    Garbage(I),
    /// Give up a reference to this object, which the collection had counted, with all that follows from that:
    /// [`Deaths::decrement`](rc::Deaths::decrement), then [`next`](rc::Deaths::next) to its end.
    Release(I),
    /// It is over.
    Done(Outcome),
}

/// What a collection has come to, in numbers of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// That were looked at, immortal ones left out.
    pub candidates: usize,
    /// That were found unreachable at first.
    pub unreachable: usize,
    /// That went to the tail of the list because they first seemed unreachable.
    pub rescued: usize,
    /// That survived the first look, and stand on a list.
    pub survivors: usize,
    /// That were taken off the lists because what they refer to is [fixed](Untracks::Fixed).
    pub untracked_fixed: usize,
    /// That were taken off the lists though what they refer to may [change](Untracks::Changing).
    pub untracked_changing: usize,
    /// Immortal ones that were put aside.
    pub immortal: usize,
    /// Weak references that were called.
    pub callbacks: usize,
    /// Weak references that were not, being garbage themselves.
    pub suppressed: usize,
    /// Finalizers that were run.
    pub finalized: usize,
    /// Garbage that lives on because of finalizers and callbacks.
    pub resurrected: usize,
    /// Garbage that outlived being cleared (and may have died later): because somebody else has come to hold it, or
    /// because clearing it gave up too little. What each collection tells of as both collected and this is a leak.
    pub outlived: usize,
    /// What CPython tells as `collected`: garbage, whether or not it [outlived](Self::outlived) that, and the weak references
    /// that died with their callback.
    pub collected: usize,
    /// What it tells as `uncollectable`: garbage with finalizers that nobody dares to run, and what that refers to.
    pub uncollectable: usize,
    /// References that were told of, but not counted: see [`Snapshot::excess`](crate::Snapshot::excess).
    pub excess: u64,
}
