//! One collection of a generation, from the callbacks that hear of its start to those that hear of its end.

use bumpalo::Bump;
use cycles::{Collection, Containers, Outcome, Partition, Snapshot, TooMany, append};
use rc::CountError;

use crate::generation::Generation;
use crate::policy::{Plan, Policy, Why};
use crate::rules::Joins;
use crate::schedule::Generations;

/// A collection has begun, and nothing has changed yet: neither counters nor lists.
///
/// If it [calls back](Self::calls_back), the driver runs the callbacks now; what these allocate counts, and is looked at.
/// Then comes [`look`](Self::look).
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a collection that is going on keeps others from beginning"]
pub struct Started {
    pub(crate) plan: Plan,
    pub(crate) why: Why,
    pub(crate) calls_back: bool,
}

impl Started {
    /// What it looks at.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// Why it has begun.
    #[must_use]
    pub fn why(&self) -> Why {
        self.why
    }

    /// Whether callbacks hear of it (`gc.callbacks`).
    #[must_use]
    pub fn calls_back(&self) -> bool {
        self.calls_back
    }

    /// Changes the counters, puts the younger generations behind the one that is collected (youngest first), and finds the
    /// garbage. Nothing of the program runs inside.
    ///
    /// # Errors
    ///
    /// [`TooMany`]: then the collection is over. Objects are one generation older, or where they were, and none is cleared.
    pub fn look<'s, P: Policy, H: Containers>(
        self,
        generations: &mut Generations<P>,
        heap: &mut H,
        scratch: &'s Bump,
    ) -> Result<Look<'s, H::Id>, TooMany> {
        let Self { plan, calls_back, .. } = self;
        let (collection, rules) = generations.begin(&plan);
        let younger = plan.generation.younger();
        let mut join = |younger: Generation| append(heap, younger.list(), collection.young);
        match generations.rules().joins {
            Joins::YoungestFirst => younger.for_each(&mut join),
            Joins::OldestFirst => younger.rev().for_each(&mut join),
        }
        match Collection::begin(heap, collection, rules, scratch) {
            Ok((collection, snapshot, partition)) => {
                generations.found(&plan, collection.outcome().survivors);
                let run = Run { plan, calls_back, collection, phase: Phase::Collecting };
                Ok(Look { run, snapshot, partition })
            }
            Err(error) => {
                generations.over();
                Err(error)
            }
        }
    }
}

/// What a look at the objects has come to.
#[derive(Debug)]
#[must_use]
pub struct Look<'s, I> {
    /// The collection, of which the steps follow.
    pub run: Run<I>,
    /// The graph that was seen.
    pub snapshot: Snapshot<'s, I>,
    /// What was made of it.
    pub partition: Partition<'s>,
}

/// What the driver is to do next. It may change the heap in any way meanwhile, and ask [`Generations`] for anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step<I> {
    /// One of the collector's own; never [`Done`](cycles::Step::Done).
    Collector(cycles::Step<I>),
    /// Give the memory back that types' free lists keep. (After full collections.)
    FreeLists,
    /// Run the callbacks that hear of its end. Statistics tell of it already; it is going on still.
    Callbacks(Outcome),
    /// It is over.
    Done(Outcome),
}

/// A collection that is going on, and has found its garbage.
#[derive(Debug)]
#[must_use = "the garbage waits for its steps"]
pub struct Run<I> {
    plan: Plan,
    calls_back: bool,
    collection: Collection<I>,
    phase: Phase,
}

/// What one of the collector's own steps is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Callback,
    Finalize,
    Clear,
    Garbage,
    Release,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Collecting,
    Finishing,
    Ending,
    Over,
}

impl<I: Copy + Eq> Run<I> {
    /// What to do next.
    ///
    /// After [`Step::Done`] it says the same again.
    ///
    /// # Errors
    ///
    /// As [`Collection::next`] has it: the step that needed the count is left out.
    #[inline]
    pub fn next<P: Policy, H: Containers<Id = I>>(
        &mut self,
        generations: &mut Generations<P>,
        heap: &mut H,
        scratch: &Bump,
    ) -> Result<Step<I>, CountError<I>> {
        use cycles::Step as Cycle;
        Ok(match self.collect(heap, scratch)? {
            Some((Kind::Callback, reference)) => Step::Collector(Cycle::Callback(reference)),
            Some((Kind::Finalize, object)) => Step::Collector(Cycle::Finalize(object)),
            Some((Kind::Clear, object)) => Step::Collector(Cycle::Clear(object)),
            Some((Kind::Garbage, object)) => Step::Collector(Cycle::Garbage(object)),
            Some((Kind::Release, object)) => Step::Collector(Cycle::Release(object)),
            None => self.end(generations),
        })
    }

    /// The next of the collector's own steps, in few bytes: to copy a whole step of which only the number was written makes
    /// processors wait.
    #[inline]
    pub(crate) fn collect<H: Containers<Id = I>>(
        &mut self,
        heap: &mut H,
        scratch: &Bump,
    ) -> Result<Option<(Kind, I)>, CountError<I>> {
        if self.phase != Phase::Collecting {
            return Ok(None);
        }
        match self.collection.next(heap, scratch) {
            Ok(step) => Ok(brief(step)),
            Err(error) => Err(error),
        }
    }

    /// The same if it comes before garbage is cleared, as [`Collection::next_before_clearing`] has it.
    #[cfg(feature = "heap")]
    pub(crate) fn before_clearing<H: Containers<Id = I>>(
        &mut self,
        heap: &mut H,
        scratch: &Bump,
    ) -> Result<Option<(Kind, I)>, CountError<I>> {
        if self.phase != Phase::Collecting {
            return Ok(None);
        }
        Ok(self.collection.next_before_clearing(heap, scratch)?.and_then(brief))
    }

    /// What is to be cleared next by a driver that holds it, as [`Collection::next_to_clear`] has it.
    #[cfg(feature = "heap")]
    #[inline]
    pub(crate) fn next_to_clear<H: Containers<Id = I>>(&mut self, heap: &mut H) -> Option<I> {
        if self.phase == Phase::Collecting { self.collection.next_to_clear(heap) } else { None }
    }

    /// The collection, if it is [clearing](Collection::is_clearing).
    #[cfg(feature = "heap")]
    pub(crate) fn clearing<H: Containers<Id = I>>(&mut self, heap: &mut H) -> Option<&mut Collection<I>> {
        let is_clearing = self.phase == Phase::Collecting && self.collection.is_clearing(heap);
        is_clearing.then_some(&mut self.collection)
    }

    /// Garbage that was taken over lives on: see [`Collection::outlived`].
    #[cfg(feature = "heap")]
    pub(crate) fn outlived<H: Containers<Id = I>>(&mut self, heap: &mut H, object: I) {
        self.collection.outlived(heap, object);
    }

    /// What follows when all is collected.
    #[cold]
    pub(crate) fn end<P: Policy>(&mut self, generations: &mut Generations<P>) -> Step<I> {
        if self.phase == Phase::Collecting {
            self.phase = Phase::Finishing;
            if self.plan.is_full() {
                return Step::FreeLists;
            }
        }
        let outcome = *self.collection.outcome();
        if self.phase == Phase::Finishing {
            generations.finish(&self.plan, &outcome);
            self.phase = Phase::Ending;
            if self.calls_back {
                return Step::Callbacks(outcome);
            }
        }
        if self.phase == Phase::Ending {
            generations.over();
            self.phase = Phase::Over;
        }
        Step::Done(outcome)
    }

    /// What it looks at.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// Whether callbacks hear of its end.
    #[must_use]
    pub fn calls_back(&self) -> bool {
        self.calls_back
    }

    /// The collection itself.
    pub fn collection(&self) -> &Collection<I> {
        &self.collection
    }
}

/// A step in few bytes, if there is something to do.
#[inline]
fn brief<I>(step: cycles::Step<I>) -> Option<(Kind, I)> {
    use cycles::Step as Cycle;
    match step {
        Cycle::Callback(reference) => Some((Kind::Callback, reference)),
        Cycle::Finalize(object) => Some((Kind::Finalize, object)),
        Cycle::Clear(object) => Some((Kind::Clear, object)),
        Cycle::Garbage(object) => Some((Kind::Garbage, object)),
        Cycle::Release(object) => Some((Kind::Release, object)),
        Cycle::Done(_) => None,
    }
}
