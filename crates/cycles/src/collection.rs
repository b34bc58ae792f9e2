//! One collection, step by step.

use bumpalo::Bump;
use rc::CountError;

use crate::containers::{Containers, Which};
use crate::lists::{ListId, Place, append, move_to, push, take};
use crate::partition::Partition;
use crate::rules::{Counted, Rules, Silent};
use crate::snapshot::{Snapshot, TooMany};
use crate::step::{Outcome, Plan, Step};

/// A collection that is going on.
///
/// [`begin`](Self::begin) finds the garbage. Then [`next`](Self::next) says what to do, until
/// [`Step::Done`]:
///
/// 1. what survives goes to its list, the unreachable to a list of the collection's own;
/// 2. of these, the ones with finalizers that nobody dares to run are set aside, and what they refer to;
/// 3. weak references to the others are cleared, then those called that are no garbage themselves;
/// 4. finalizers run, in the order of the list;
/// 5. who can be reached again after that lives on;
/// 6. the others are cleared, one by one, and die of it: *counts* free them, never the collector.
///
/// Between steps it knows of objects only what the heap's lists say. So one that dies has to be taken off
/// its list ([`untrack`](crate::untrack)) before anything else of it is gone; in a driver of [`rc::Deaths`], at
/// [`Note::Begin`](rc::Note::Begin).
///
/// The driver may begin another collection in any step.
#[derive(Debug)]
#[must_use = "the garbage waits for its steps"]
pub struct Collection<I> {
    pub(crate) rules: Rules,
    pub(crate) plan: Plan,
    /// Lists of its own.
    pub(crate) garbage: ListId,
    pub(crate) uncollectable: ListId,
    pub(crate) calls: ListId,
    phase: Phase,
    /// How much of the garbage has been [taken over](Containers::take_over).
    pub(crate) taken: usize,
    /// The place in the list of the phase.
    at: usize,
    /// To be released next.
    held: Option<I>,
    /// Whether anything ran that could have brought garbage back to life.
    pub(crate) ran: bool,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Callbacks,
    /// What is left of a weak reference that was called?
    Called,
    Finalizers,
    SecondLook,
    Clearing,
    /// Has what was cleared gone?
    Cleared,
    Uncollectable,
    Over,
}

impl<I: Copy + Eq> Collection<I> {
    /// Finds the garbage of a list: its phases up to the first that runs foreign code.
    ///
    /// With the collection comes the graph that it saw, and what it made of that. Lists are as they are to be from here
    /// on: survivors have moved, weak references are cleared. A weak reference whose count cannot grow any more is
    /// not called.
    ///
    /// The heap is not to change between this and the first [`next`](Self::next): if no callback and no finalizer runs,
    /// nobody looks again whether what was garbage still is.
    ///
    /// O(objects on the list + their references).
    ///
    /// # Errors
    ///
    /// [`TooMany`]; nothing has changed then.
    pub fn begin<'s, H: Containers<Id = I>>(
        heap: &mut H,
        plan: Plan,
        rules: Rules,
        scratch: &'s Bump,
    ) -> Result<(Self, Snapshot<'s, I>, Partition<'s>), TooMany> {
        // Before anything is opened: if a traversal panics, nothing has changed.
        let snapshot = Snapshot::take(heap, plan.young, rules.reading(), scratch)?;
        let mut open = [None; 3];
        for list in &mut open {
            *list = heap.lists_mut().open();
        }
        let [Some(garbage), Some(uncollectable), Some(calls)] = open else {
            open.into_iter().flatten().for_each(|list| heap.lists_mut().close(list));
            return Err(TooMany::Collections);
        };
        let guard = Undo { heap, lists: [calls, uncollectable, garbage], old: plan.old };
        let heap = &mut *guard.heap;
        let partition = snapshot.partition(scratch);
        let mut this = Self {
            rules,
            plan,
            garbage,
            uncollectable,
            calls,
            phase: Phase::Callbacks,
            taken: 0,
            at: 0,
            held: None,
            ran: false,
            outcome: Outcome {
                rescued: partition.rescued().len(),
                excess: snapshot.excess(),
                ..Outcome::default()
            },
        };
        this.sort(heap, &snapshot, &partition);
        this.untrack_survivors(heap, &snapshot, &partition);
        this.set_uncollectable_aside(heap, &snapshot, &partition, scratch);
        if rules.counted == Counted::Found {
            this.outcome.collected = heap.lists().len(garbage) + this.taken;
        }
        let early = if rules.silent == Silent::Early { Which::All } else { Which::Calling };
        this.clear_weak(heap, early, rules.clears_own, true);
        core::mem::forget(guard);
        Ok((this, snapshot, partition))
    }

    /// What to do next.
    ///
    /// After [`Step::Done`] it says the same again.
    ///
    /// # Errors
    ///
    /// If a reference that the collection takes cannot be counted: then the step that needed it is left out, and the
    /// following call goes on behind it.
    pub fn next<H: Containers<Id = I>>(
        &mut self,
        heap: &mut H,
        scratch: &Bump,
    ) -> Result<Step<I>, CountError<I>> {
        if let Some(step) = self.next_before_clearing(heap, scratch)? {
            return Ok(step);
        }
        loop {
            match self.phase {
                Phase::Clearing => match self.next_of(heap, self.garbage) {
                    Some(object) => {
                        self.phase = Phase::Cleared;
                        if self.plan.saves_all {
                            return Ok(Step::Garbage(object));
                        }
                        self.hold(heap, object)?;
                        return Ok(Step::Clear(object));
                    }
                    None => {
                        self.outcome.uncollectable = heap.lists().len(self.uncollectable);
                        self.go_on(Phase::Uncollectable);
                    }
                },
                Phase::Cleared => self.let_live(heap),
                Phase::Uncollectable => match self.next_of(heap, self.uncollectable) {
                    Some(object) => {
                        if self.plan.saves_all || heap.is_uncollectable(object) {
                            return Ok(Step::Garbage(object));
                        }
                    }
                    None => {
                        append(heap, self.uncollectable, self.plan.old);
                        for list in [self.calls, self.uncollectable, self.garbage] {
                            heap.lists_mut().close(list);
                        }
                        self.go_on(Phase::Over);
                    }
                },
                _ => return Ok(Step::Done(self.outcome)),
            }
        }
    }

    /// What to do next if that comes before garbage is cleared, or if something is to be released: what
    /// [`next`](Self::next) would say. `None` if it would say something else.
    ///
    /// # Errors
    ///
    /// As for `next`.
    pub fn next_before_clearing<H: Containers<Id = I>>(
        &mut self,
        heap: &mut H,
        scratch: &Bump,
    ) -> Result<Option<Step<I>>, CountError<I>> {
        if let Some(held) = self.held.take() {
            return Ok(Some(Step::Release(held)));
        }
        loop {
            match self.phase {
                Phase::Callbacks => match self.next_of(heap, self.calls) {
                    Some(reference) => {
                        // Counted when it was queued.
                        self.phase = Phase::Called;
                        self.held = Some(reference);
                        self.ran = true;
                        self.outcome.callbacks += 1;
                        return Ok(Some(Step::Callback(reference)));
                    }
                    None if self.rules.finalizers && heap.concerns().finalizers => {
                        self.go_on(Phase::Finalizers);
                    }
                    None => self.go_on(Phase::SecondLook),
                },
                Phase::Called => {
                    self.phase = Phase::Callbacks;
                    match heap.lists().at(self.calls, self.at - 1) {
                        Some(reference) => move_to(heap, reference, self.plan.old),
                        None => self.outcome.collected += 1,
                    }
                }
                Phase::Finalizers => match self.next_of(heap, self.garbage) {
                    Some(object) => {
                        if heap.take_finalizer(object) {
                            self.hold(heap, object)?;
                            self.ran = true;
                            self.outcome.finalized += 1;
                            return Ok(Some(Step::Finalize(object)));
                        }
                    }
                    None => self.go_on(Phase::SecondLook),
                },
                Phase::SecondLook => {
                    self.look_again(heap, scratch);
                    if self.rules.clears_again || self.rules.silent == Silent::Late {
                        let clears_own = self.rules.clears_own || self.rules.silent == Silent::Late;
                        self.clear_weak(heap, Which::All, clears_own, false);
                    }
                    if self.rules.counted == Counted::Cleared {
                        self.outcome.collected += heap.lists().len(self.garbage) + self.taken;
                    }
                    self.go_on(Phase::Clearing);
                }
                _ => return Ok(None),
            }
        }
    }

    /// What is to be cleared next, if nothing else comes before it: what [`next`](Self::next) would say, but the collection
    /// counts no reference for it, so that there is none to [release](Step::Release). For drivers that hold what they clear by
    /// references of their own, and whose heap counts none for a collection: a release that is left from `next` is forgotten.
    /// `None` if it is `next` that is to be asked.
    #[inline]
    pub fn next_to_clear<H: Containers<Id = I>>(&mut self, heap: &mut H) -> Option<I> {
        if self.plan.saves_all {
            return None;
        }
        if self.phase == Phase::Cleared {
            self.held = None;
            self.let_live(heap);
        }
        if self.phase != Phase::Clearing {
            return None;
        }
        let next = self.next_of(heap, self.garbage);
        if next.is_some() {
            self.phase = Phase::Cleared;
            if let Some(later) = heap.lists().at(self.garbage, self.at + AHEAD) {
                heap.fetch(later);
            }
        }
        next
    }

    /// Whether all that is on the list of the [garbage](Self::garbage) is to be cleared now, and nothing else comes before that. If
    /// so a driver may take it over: hold all of it, have all of it cleared, give it up, and say who has
    /// [outlived](Self::outlived) that. Like [`next_to_clear`](Self::next_to_clear) for those whose heap counts no reference for
    /// a collection.
    pub fn is_clearing<H: Containers<Id = I>>(&mut self, heap: &mut H) -> bool {
        if self.plan.saves_all {
            return false;
        }
        if self.phase == Phase::Cleared {
            self.held = None;
            self.let_live(heap);
        }
        self.phase == Phase::Clearing
    }

    /// The driver has taken over what [is to be cleared](Self::is_clearing). From here on that stands on no list, though it says
    /// that it does.
    pub fn taken<H: Containers<Id = I>>(&mut self, heap: &mut H) {
        drop(take(heap, self.garbage));
        self.at = 0;
    }

    /// Garbage that the driver has taken over lives on.
    pub fn outlived<H: Containers<Id = I>>(&mut self, heap: &mut H, object: I) {
        self.outcome.outlived += 1;
        move_to(heap, object, self.plan.old);
    }

    /// What was cleared last goes to those that live, if it has not gone.
    #[inline]
    fn let_live<H: Containers<Id = I>>(&mut self, heap: &mut H) {
        self.phase = Phase::Clearing;
        if let Some(object) = heap.lists().at(self.garbage, self.at - 1) {
            self.outcome.outlived += usize::from(!self.plan.saves_all);
            heap.lists_mut().remove(object, Place::new(self.garbage, self.at - 1));
            push(heap, object, self.plan.old);
        }
    }

    /// What has been found so far.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// What it was to look at.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The list on which the garbage stands.
    #[must_use]
    pub fn garbage(&self) -> ListId {
        self.garbage
    }

    fn go_on(&mut self, phase: Phase) {
        self.phase = phase;
        self.at = 0;
    }

    /// The next object on one of its lists.
    fn next_of<H: Containers<Id = I>>(&mut self, heap: &H, list: ListId) -> Option<I> {
        for entry in heap.lists().entries(list).get(self.at..)? {
            self.at += 1;
            if entry.is_some() {
                return *entry;
            }
        }
        None
    }

    /// Counts a reference, to be given up after the next step.
    fn hold<H: Containers<Id = I>>(&mut self, heap: &mut H, object: I) -> Result<(), CountError<I>> {
        self.increment(heap, object)?;
        self.held = Some(object);
        Ok(())
    }

    pub(crate) fn increment<H: Containers<Id = I>>(
        &self,
        heap: &mut H,
        object: I,
    ) -> Result<(), CountError<I>> {
        let word = heap.count(object);
        let more = self.rules.counting.increment(word).map_err(|what| CountError { object, what })?;
        if more != word {
            heap.set_count(object, more);
        }
        Ok(())
    }
}

/// How many are cleared between the time when an object is fetched and its turn.
const AHEAD: usize = 6;

/// Closes the lists of a collection that did not come about, because the heap panicked: nobody's place is lost.
struct Undo<'h, H: Containers> {
    heap: &'h mut H,
    lists: [ListId; 3],
    old: ListId,
}

impl<H: Containers> Drop for Undo<'_, H> {
    fn drop(&mut self) {
        for list in self.lists {
            append(self.heap, list, self.old);
            self.heap.lists_mut().close(list);
        }
    }
}
