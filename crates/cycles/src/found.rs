//! What a collection does with what it has found: none of it runs foreign code.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use crate::collection::Collection;
use crate::containers::{Concerns, Containers, Untracks, Which};
use crate::lists::{append, extend, give_back, move_to, take, untrack};
use crate::partition::Partition;
use crate::rules::{Immortals, SecondLook};
use crate::snapshot::Snapshot;

impl<I: Copy + Eq> Collection<I> {
    /// Puts each object where the partition says that it belongs.
    pub(crate) fn sort<H: Containers<Id = I>>(
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
        let stay = if plan.is_full() { partition.stay() } else { 0 };
        entries.truncate(stay);
        give_back(heap, plan.young, entries);
        self.outcome.candidates = objects.len();
        self.outcome.survivors = objects.len();
        if stay == objects.len() {
            return;
        }
        let object = |at: u32| objects[at as usize];
        let garbage = || partition.garbage(objects);
        let is_offered = !plan.saves_all && heap.concerns() == Concerns::NONE;
        if is_offered && heap.take_over(garbage()) {
            self.taken = garbage().count();
        } else {
            extend(heap, garbage(), self.garbage);
        }
        if partition.has_immortal() {
            for at in partition.immortal() {
                self.outcome.immortal += usize::from(self.put_aside(heap, object(at)));
            }
        }
        let garbage = heap.lists().len(self.garbage) + self.taken;
        if stay + garbage < objects.len() {
            if stay == 0 {
                extend(heap, partition.reachable().map(object), plan.old);
            } else {
                extend(heap, partition.moved().map(object), plan.old);
            }
        }
        self.outcome.unreachable = garbage;
        self.outcome.candidates = objects.len() - self.outcome.immortal;
        self.outcome.survivors = self.outcome.candidates - self.outcome.unreachable;
    }

    /// Puts an immortal object where the rules say. Whether it is off the lists that are collected.
    pub(crate) fn put_aside<H: Containers<Id = I>>(&self, heap: &mut H, object: I) -> bool {
        match self.rules.immortals {
            Immortals::Permanent => move_to(heap, object, self.plan.permanent),
            Immortals::Untracked => _ = untrack(heap, object),
            // None is read as such.
            Immortals::Counted => return false,
        }
        true
    }

    /// Takes those of the survivors off the lists, in their order, that cannot be part of cycles.
    pub(crate) fn untrack_survivors<H: Containers<Id = I>>(
        &mut self,
        heap: &mut H,
        snapshot: &Snapshot<'_, I>,
        partition: &Partition<'_>,
    ) {
        if snapshot.untrackable().is_empty() {
            return;
        }
        let fixed = self.rules.untracks_fixed.then_some(Untracks::Fixed);
        let changing = (self.plan.is_full() && self.rules.untracks_changing).then_some(Untracks::Changing);
        for pass in fixed.into_iter().chain(changing) {
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
                // A heap that lies about places may seem to have one on two lists.
                self.outcome.survivors = self.outcome.survivors.saturating_sub(1);
                match pass {
                    Untracks::Fixed => self.outcome.untracked_fixed += 1,
                    _ => self.outcome.untracked_changing += 1,
                }
            }
        }
    }

    /// Moves the garbage that has finalizers which nobody dares to run, and what that refers to, to a list of its own.
    pub(crate) fn set_uncollectable_aside<H: Containers<Id = I>>(
        &mut self,
        heap: &mut H,
        snapshot: &Snapshot<'_, I>,
        partition: &Partition<'_>,
        scratch: &Bump,
    ) {
        if self.outcome.unreachable == 0 || !heap.concerns().uncollectable {
            return;
        }
        let mut aside = BumpVec::new_in(scratch);
        let uncollectable = |&at: &u32| heap.is_uncollectable(snapshot.objects()[at as usize]);
        aside.extend(partition.unreachable().filter(uncollectable));
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
    pub(crate) fn clear_weak<H: Containers<Id = I>>(
        &mut self,
        heap: &mut H,
        which: Which,
        clears_own: bool,
        calls: bool,
    ) {
        if !heap.concerns().weak_references {
            return;
        }
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
    pub(crate) fn look_again<H: Containers<Id = I>>(&mut self, heap: &mut H, scratch: &Bump) {
        if self.rules.second_look == SecondLook::None || !self.ran {
            return;
        }
        let before = heap.lists().len(self.garbage);
        if let Ok(snapshot) = Snapshot::take(heap, self.garbage, self.rules.reading(), scratch) {
            let partition = snapshot.partition(scratch);
            for at in partition.immortal() {
                self.put_aside(heap, snapshot.objects()[at as usize]);
            }
            if self.rules.second_look == SecondLook::Partial {
                for at in partition.reachable() {
                    move_to(heap, snapshot.objects()[at as usize], self.plan.old);
                }
            } else if partition.reachable().next().is_some() {
                append(heap, self.garbage, self.plan.old);
            }
        } else {
            // More references than can be numbered: nobody dies of that.
            append(heap, self.garbage, self.plan.old);
        }
        self.outcome.resurrected += before - heap.lists().len(self.garbage);
    }
}

/// Whether nothing that an object refers to is on a list, or may come to be.
fn refers_to_nothing_tracked<H: Containers>(heap: &H, object: H::Id) -> bool {
    let mut nothing = true;
    heap.traverse_to_untrack(object, &mut |referent| {
        if nothing && heap.is_container(referent) {
            nothing = heap.untracks(referent) == Untracks::Fixed && !heap.place(referent).is_tracked();
        }
    });
    nothing
}
