//! What the engine of collections says, and what it had to be told.

use trace::{Graph, Object};

use super::CollectionCounts;

/// A collection that is predicted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PredictedCollection {
    /// The first event behind its beginning.
    pub event: u64,
    /// Of which generation; `None` if none is due.
    pub generation: Option<u8>,
    /// Who is garbage, in order.
    pub unreachable: Vec<Object>,
    /// Who stands at the tail of the list that they come to, in order.
    pub survivors: Vec<Object>,
    /// How many of these, the last ones, are garbage that is kept for somebody to look at.
    pub saved: usize,
    /// The weak references that were called and are left, in order: they stand behind the survivors.
    pub called: Vec<Object>,
    /// The garbage that lives on because of what code of the program did: it stands behind these, in an order that is not known.
    pub revived: Vec<Object>,
    /// Of the survivors, those that may be gone before anybody looks: those whose memory is kept when they die (what nobody
    /// tells of may die with the garbage, and then that does not show); all, if nothing shows when the collection is over.
    pub kept: Vec<Object>,
    /// Whether code of the program may run in it: then some of the garbage may live on.
    pub runs_code: bool,
    /// Whether it is known, and so predicted, what that has done to the garbage.
    pub is_exact: bool,
    /// It was not seen, and nothing is predicted of it.
    pub unseen: Option<Unseen>,
    /// Its numbers: how many were collected and how many could not be, counts before and after, and the long-lived.
    pub numbers: [u64; 10],
}

/// What follows upon a collection that was not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// It is known how things are behind it, and what follows is predicted.
    Recovered,
    /// Nothing is predicted any more.
    Lost,
}

/// What a collection looks at, and whom it finds.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// The first event behind its beginning.
    pub event: u64,
    /// How many of the frame's steps come before it.
    pub steps: usize,
    /// Of which generation it is.
    pub generation: u8,
    /// The number of the first object that comes with it.
    pub first: Object,
    /// What was fetched.
    pub graph: Graph,
    /// Who is garbage, in order.
    pub unreachable: Vec<Object>,
    /// Whether the collection looks once more, and only at its garbage: finalizers have run. Then it finds nobody.
    pub is_again: bool,
}

/// What the engine of collections says of a frame, and what it had to be told.
#[derive(Debug, Default)]
pub struct CollectionPredictions {
    /// Collections, as they are over.
    pub collections: Vec<PredictedCollection>,
    /// What was looked at, as collections begin.
    pub looks: Vec<Look>,
    /// What they did, counted.
    pub counts: CollectionCounts,
    /// What was given.
    pub given: GivenOfCollections,
}

/// Answers that had to be inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenOfCollections {
    /// Safe points at which a collection that was due began.
    pub moments: u64,
    /// Exceptions that kept a collection from beginning inside of an allocation.
    pub exceptions: u64,
    /// Objects that had left the list of an older generation.
    pub gone: u64,
    /// Objects that had come to the list of an older generation.
    pub came: u64,
    /// Garbage that code of the program has saved.
    pub saved: u64,
    /// Collections that were not seen, behind which it was told how things are.
    pub recovered: u64,
}

impl GivenOfCollections {
    /// Adds those of another frame.
    pub fn add(&mut self, other: &Self) {
        self.moments += other.moments;
        self.exceptions += other.exceptions;
        self.gone += other.gone;
        self.came += other.came;
        self.saved += other.saved;
        self.recovered += other.recovered;
    }
}
