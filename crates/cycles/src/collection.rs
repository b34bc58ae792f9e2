//! One collection, step by step.

use bumpalo::Bump;
use rc::CountError;

use crate::containers::{Containers, Untracks, Which};
use crate::lists::{ListId, append, close_up, give_back, push, take, untrack};
use crate::rules::{Counted, Immortals, Rules, SecondLook, Silent};
use crate::snapshot::{Partition, Snapshot, TooMany};

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
    /// That were looked at.
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
    /// Garbage that outlived being cleared (and may have died later).
    pub outlived: usize,
    /// What CPython tells as `collected`: garbage, and the weak references that died with their callback.
    pub collected: usize,
    /// What it tells as `uncollectable`: garbage with finalizers that nobody dares to run, and what that refers to.
    pub uncollectable: usize,
    /// References that were told of, but not counted: see [`Snapshot::excess`].
    pub excess: u64,
}

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
/// its list ([`untrack`]) before anything else of it is gone.
#[derive(Debug)]
#[must_use = "the garbage waits for its steps"]
pub struct Collection<I> {
    rules: Rules,
    plan: Plan,
    /// Lists of its own.
    garbage: ListId,
    uncollectable: ListId,
    calls: ListId,
    phase: Phase,
    /// The place in the list of the phase.
    at: usize,
    /// To be released next.
    held: Option<I>,
    /// Whether anything ran that could have brought garbage back to life.
    ran: bool,
    outcome: Outcome,
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
    /// With the collection comes the graph that it saw, and what it made of that.
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
        let mut open = [None; 3];
        for list in &mut open {
            *list = heap.lists_mut().open();
        }
        let [Some(garbage), Some(uncollectable), Some(calls)] = open else {
            open.into_iter().flatten().for_each(|list| heap.lists_mut().close(list));
            return Err(TooMany::Collections);
        };
        let snapshot = match Snapshot::take(heap, plan.young, rules.counting, scratch) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                for list in [garbage, uncollectable, calls] {
                    heap.lists_mut().close(list);
                }
                return Err(error);
            }
        };
        let partition = snapshot.partition(scratch);
        let mut this = Self {
            rules,
            plan,
            garbage,
            uncollectable,
            calls,
            phase: Phase::Callbacks,
            at: 0,
            held: None,
            ran: false,
            outcome: Outcome {
                candidates: snapshot.objects().len(),
                rescued: partition.rescued().len(),
                excess: snapshot.excess(),
                ..Outcome::default()
            },
        };
        this.sort(heap, &snapshot, &partition);
        this.untrack_survivors(heap, &snapshot, &partition);
        this.set_uncollectable_aside(heap, &snapshot, scratch);
        if rules.counted == Counted::Found {
            this.outcome.collected = heap.lists().len(garbage);
        }
        let early = if rules.silent == Silent::Early { Which::All } else { Which::Calling };
        this.clear_weak(heap, early, rules.clears_own, true);
        Ok((this, snapshot, partition))
    }

    /// What to do next.
    ///
    /// After [`Step::Done`] it says the same again.
    ///
    /// # Errors
    ///
    /// If a reference that the collection takes cannot be counted: then the step that needed it is left out.
    pub fn next<H: Containers<Id = I>>(
        &mut self,
        heap: &mut H,
        scratch: &Bump,
    ) -> Result<Step<I>, CountError<I>> {
        if let Some(held) = self.held.take() {
            return Ok(Step::Release(held));
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
                        return Ok(Step::Callback(reference));
                    }
                    None => self.go_on(Phase::Finalizers),
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
                            return Ok(Step::Finalize(object));
                        }
                    }
                    None => self.go_on(Phase::SecondLook),
                },
                Phase::SecondLook => {
                    self.look_again(heap, scratch);
                    if self.rules.clears_again || self.rules.silent == Silent::Late {
                        let clears_own = self.rules.silent == Silent::Late;
                        self.clear_weak(heap, Which::All, clears_own, false);
                    }
                    if self.rules.counted == Counted::Cleared {
                        self.outcome.collected += heap.lists().len(self.garbage);
                    }
                    self.go_on(Phase::Clearing);
                }
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
                Phase::Cleared => {
                    self.phase = Phase::Clearing;
                    if let Some(object) = heap.lists().at(self.garbage, self.at - 1) {
                        self.outcome.outlived += 1;
                        move_to(heap, object, self.plan.old);
                    }
                }
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
                Phase::Over => return Ok(Step::Done(self.outcome)),
            }
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
        while self.at < heap.lists().places(list) {
            self.at += 1;
            if let Some(object) = heap.lists().at(list, self.at - 1) {
                return Some(object);
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

    fn increment<H: Containers<Id = I>>(&self, heap: &mut H, object: I) -> Result<(), CountError<I>> {
        let word = heap.count(object);
        let more = self.rules.counting.increment(word).map_err(|what| CountError { object, what })?;
        if more != word {
            heap.set_count(object, more);
        }
        Ok(())
    }

    /// Puts each object where the partition says that it belongs.
    fn sort<H: Containers<Id = I>>(
        &mut self,
        heap: &mut H,
        snapshot: &Snapshot<'_, I>,
        partition: &Partition<'_>,
    ) {
        let objects = snapshot.objects();
        let plan = self.plan;
        // The list is dense, and its objects know where they stand: those that stay are in their places already, up to the
        // first that goes.
        let mut entries = take(heap, plan.young);
        let stay = if plan.is_full() {
            (0_u32..).zip(objects).take_while(|&(at, _)| partition.is_first(at)).count()
        } else {
            0
        };
        entries.truncate(stay);
        give_back(heap, plan.young, entries);
        for at in partition.unreachable() {
            push(heap, objects[at as usize], self.garbage);
        }
        for at in partition.immortal() {
            self.outcome.immortal += usize::from(self.put_aside(heap, objects[at as usize]));
        }
        for at in partition.reachable() {
            if at as usize >= stay {
                push(heap, objects[at as usize], plan.old);
            }
        }
        self.outcome.unreachable = heap.lists().len(self.garbage);
        self.outcome.survivors = objects.len() - self.outcome.unreachable - self.outcome.immortal;
    }

    /// Puts an immortal object where the rules say. Whether it is off the lists that are collected.
    fn put_aside<H: Containers<Id = I>>(&self, heap: &mut H, object: I) -> bool {
        match self.rules.immortals {
            Immortals::Permanent => move_to(heap, object, self.plan.permanent),
            Immortals::Untracked => _ = untrack(heap, object),
            // It counts as referred to from outside.
            Immortals::Counted => move_to(heap, object, self.plan.old),
        }
        self.rules.immortals != Immortals::Counted
    }

    /// Takes those of the survivors off the lists, in their order, that cannot be part of cycles.
    fn untrack_survivors<H: Containers<Id = I>>(
        &mut self,
        heap: &mut H,
        snapshot: &Snapshot<'_, I>,
        partition: &Partition<'_>,
    ) {
        if snapshot.untrackable().is_empty() {
            return;
        }
        let passes = if self.plan.is_full() && self.rules.untracks_changing {
            &[Untracks::Fixed, Untracks::Changing][..]
        } else {
            &[Untracks::Fixed]
        };
        for &pass in passes {
            let first = snapshot.untrackable().iter().copied().filter(|&at| partition.is_first(at));
            for at in first.chain(partition.rescued().iter().copied()) {
                let object = snapshot.objects()[at as usize];
                if heap.untracks(object) != pass
                    || !heap.place(object).is_tracked()
                    || !refers_to_nothing_tracked(heap, object)
                {
                    continue;
                }
                untrack(heap, object);
                self.outcome.survivors -= 1;
                match pass {
                    Untracks::Fixed => self.outcome.untracked_fixed += 1,
                    _ => self.outcome.untracked_changing += 1,
                }
            }
        }
    }

    /// Moves the garbage that has finalizers which nobody dares to run, and what that refers to, to a list of its own.
    fn set_uncollectable_aside<H: Containers<Id = I>>(
        &mut self,
        heap: &mut H,
        snapshot: &Snapshot<'_, I>,
        scratch: &Bump,
    ) {
        let mut aside = bumpalo::collections::Vec::new_in(scratch);
        for at in (0_u32..).take(snapshot.objects().len()) {
            let object = snapshot.objects()[at as usize];
            if heap.place(object).is_on(self.garbage) && heap.is_uncollectable(object) {
                aside.push(at);
            }
        }
        for &at in &aside {
            move_to(heap, snapshot.objects()[at as usize], self.uncollectable);
        }
        let mut next = 0;
        while let Some(&at) = aside.get(next) {
            next += 1;
            for &referent in snapshot.referents(at) {
                let object = snapshot.objects()[referent as usize];
                if heap.place(object).is_on(self.garbage) {
                    move_to(heap, object, self.uncollectable);
                    aside.push(referent);
                }
            }
        }
    }

    /// Clears weak references to the garbage; queues those that are to be called.
    fn clear_weak<H: Containers<Id = I>>(
        &mut self,
        heap: &mut H,
        which: Which,
        clears_own: bool,
        calls: bool,
    ) {
        for at in 0..heap.lists().places(self.garbage) {
            let Some(object) = heap.lists().at(self.garbage, at) else { continue };
            if clears_own {
                heap.clear_own(object);
            }
            while let Some(cleared) = heap.clear_weak(object, which) {
                if !calls || !cleared.calls {
                    continue;
                }
                if heap.place(cleared.reference).is_on(self.garbage) {
                    self.outcome.suppressed += 1;
                } else if self.increment(heap, cleared.reference).is_ok() {
                    move_to(heap, cleared.reference, self.calls);
                }
            }
        }
    }

    /// Lets live on what finalizers and callbacks have made reachable.
    fn look_again<H: Containers<Id = I>>(&mut self, heap: &mut H, scratch: &Bump) {
        if self.rules.second_look == SecondLook::None || !self.ran {
            return;
        }
        // What was no more than was found cannot be too many now, but for references.
        let Ok(snapshot) = Snapshot::take(heap, self.garbage, self.rules.counting, scratch) else {
            append(heap, self.garbage, self.plan.old);
            return;
        };
        let before = heap.lists().len(self.garbage);
        match self.rules.second_look {
            SecondLook::None => {}
            SecondLook::Whole => {
                if (0_u32..).take(before).any(|at| snapshot.outside(at) != Some(0)) {
                    append(heap, self.garbage, self.plan.old);
                }
            }
            SecondLook::Partial => {
                let partition = snapshot.partition(scratch);
                for at in partition.immortal() {
                    self.put_aside(heap, snapshot.objects()[at as usize]);
                }
                for at in partition.reachable() {
                    move_to(heap, snapshot.objects()[at as usize], self.plan.old);
                }
            }
        }
        close_up(heap, self.garbage);
        self.outcome.resurrected += before - heap.lists().len(self.garbage);
    }
}

/// Moves an object to the tail of a list, from wherever it stands.
fn move_to<H: Containers>(heap: &mut H, object: H::Id, list: ListId) {
    untrack(heap, object);
    push(heap, object, list);
}

/// Whether nothing that an object refers to is on a list, or may come to be.
fn refers_to_nothing_tracked<H: Containers>(heap: &H, object: H::Id) -> bool {
    let mut nothing = true;
    heap.traverse(object, &mut |referent| {
        if nothing && heap.is_container(referent) {
            nothing = heap.untracks(referent) == Untracks::Fixed && !heap.place(referent).is_tracked();
        }
    });
    nothing
}
