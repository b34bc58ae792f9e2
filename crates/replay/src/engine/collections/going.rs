//! A collection that is going on: what is left of its garbage, and where it is over.

use cycles::{Containers, track, untrack};
use generations::Run;
use hashbrown::HashSet;
use rc::Heap;
use trace::{Graph, Object};

use super::heap::{Id, Members};
use super::predictions::{CollectionPredictions, Look};
use super::watch::{Over, Watch};
use super::{CollectionEngine, Comparable, Going, generation};

/// A count of more references than there are objects, and no immortal one's.
const HELD: u64 = 1 << 28;

impl<P: Comparable> CollectionEngine<P> {
    /// Does what is left to do up to where the collection is over: what is cleared dies, which the program then shows.
    pub(super) fn go_on(&mut self, mut going: Going) -> Going {
        loop {
            let outcome = match going.run.next(&mut self.generations, &mut self.members, &self.scratch) {
                Ok(generations::Step::Collector(cycles::Step::Clear(id))) => {
                    untrack(&mut self.members, id);
                    continue;
                }
                // What the collector had counted while it ran a finalizer or a callback.
                Ok(generations::Step::Collector(cycles::Step::Release(id))) => {
                    let counting = self.generations.collector().counting;
                    if let Ok(word) = counting.decrement(self.members.count(id)) {
                        self.members.set_count(id, word);
                    }
                    continue;
                }
                Ok(generations::Step::Collector(cycles::Step::Garbage(id))) => {
                    going.kept.push(self.members.object(id));
                    // Where code has run, who is left is told.
                    if !going.predicted.runs_code {
                        going.predicted.survivors.push(self.members.object(id));
                        going.predicted.saved += 1;
                    }
                    continue;
                }
                Ok(generations::Step::Callbacks(outcome) | generations::Step::Done(outcome)) => outcome,
                // A count that is full is no reason to stop.
                Ok(_) | Err(_) => continue,
            };
            going.predicted.numbers[0] = outcome.collected as u64;
            going.predicted.numbers[1] = outcome.uncollectable as u64;
            going.outcome = outcome;
            return going;
        }
    }

    /// Finalizers have run, and the collector looks again.
    pub(super) fn look_again(&mut self, event: u64, out: &mut CollectionPredictions) {
        let (Some(graph), Some(mut going)) = (self.graphs.pop_front(), self.going.take()) else { return };
        if going.predicted.runs_code && !going.predicted.is_exact {
            let unreachable: HashSet<Object> = going.predicted.unreachable.iter().copied().collect();
            let called: Vec<Object> =
                self.members.called.iter().copied().filter(|object| !unreachable.contains(object)).collect();
            // Those that died when they had been called are not called now; the collector counts them.
            let dead = called.iter().filter(|object| self.members.id(**object).is_none()).count();
            self.look_at(&graph, out);
            going.predicted.is_exact = true;
            going = self.go_on(going);
            going.predicted.numbers[0] += dead as u64;
            let called: HashSet<Object> = called.into_iter().collect();
            let old = going.run.collection().plan().old;
            for id in self.members.lists().iter(old) {
                let object = self.members.object(id);
                let is_saved = unreachable.contains(&object);
                going.predicted.saved += usize::from(is_saved);
                if is_saved || called.contains(&object) {
                    going.predicted.survivors.push(object);
                }
            }
        }
        let generation = going.predicted.generation.unwrap_or_default();
        let (steps, first, unreachable) = (self.steps, self.objects, Vec::new());
        out.looks.push(Look { event, steps, generation, first, graph, unreachable, is_again: true });
        self.going = Some(going);
    }

    /// Takes in what the collector looks at.
    pub(super) fn look_at(&mut self, graph: &Graph, out: &mut CollectionPredictions) {
        let first = self.objects;
        self.fetched += 1;
        self.objects += graph.arrivals.len() as u64;
        let mut came = graph.came.iter().copied().peekable();
        for (object, arrival) in (first..).zip(&graph.arrivals) {
            let kind = self.kinds.get(arrival.of as usize).copied();
            let Some(id) = self.members.arrive(object, *arrival, kind) else { continue };
            let list = came.next_if(|came| came.1 == object).map_or(0, |came| came.0);
            out.given.came += u64::from(list > 0);
            track(&mut self.members, id, generation(list).list());
        }
        for &object in &graph.gone {
            if let Some(id) = self.members.id(object) {
                out.given.gone += u64::from(untrack(&mut self.members, id));
            }
        }
        for told in &graph.told {
            let Some(id) = self.members.id(told.object) else { continue };
            if let Some(count) = told.count {
                self.members.tell_count(id, count);
            }
            if let Some(referents) = &told.referents {
                self.members.set_referents(id, referents, &told.uncounted, told.is_embedded);
            }
            self.members.set_weak(id, &told.weak);
            self.members.tell_finalized(id, told.is_finalized);
        }
    }

    /// Code of the program has run: of the garbage these are left, to which somebody refers then. The others have died of it.
    /// Answers with what their counts were.
    fn tell_left(&mut self, garbage: &[Object], left: &HashSet<Object>) -> Vec<(Id, u64)> {
        let mut counts = Vec::new();
        for object in garbage {
            let Some(id) = self.members.id(*object) else { continue };
            if left.contains(object) {
                counts.push((id, self.members.count(id)));
                self.members.set_count(id, HELD);
            } else {
                untrack(&mut self.members, id);
            }
        }
        counts
    }

    /// The collection that goes on is over; these are left of it, if code of the program may have run.
    pub(super) fn end(
        &mut self,
        survivors: Option<&[Object]>,
        out: &mut CollectionPredictions,
        watch: &mut impl Watch,
    ) {
        let Some(mut going) = self.going.take() else { return };
        let left: HashSet<Object> = survivors.unwrap_or_default().iter().copied().collect();
        let mut counts = Vec::new();
        let is_told = going.predicted.runs_code && !going.predicted.is_exact;
        if is_told {
            counts = self.tell_left(&going.predicted.unreachable, &left);
            going = self.go_on(going);
        }
        let Going { run, mut predicted, outcome, kept } = going;
        let mut saved = Vec::new();
        out.counts.collected(run.plan().generation, run.collection().outcome());
        if self.calls_back && run.calls_back() {
            self.ending = Some(run);
        } else {
            self.finish(run);
        }
        let Self { generations, members, .. } = self;
        if predicted.is_exact {
            let is_saved = |object: &&Object| !kept.contains(*object);
            saved.extend(predicted.survivors.iter().rev().take(predicted.saved).filter(is_saved));
            out.counts.resurrected += saved.len() as u64;
            out.counts.kept += kept.len() as u64;
        } else {
            out.counts.kept += predicted.saved as u64;
        }
        for (id, count) in counts {
            members.set_count(id, count);
        }
        if is_told {
            let old = generation(predicted.generation.map_or(2, |number| (number + 1).min(2))).list();
            let is_there = |members: &Members, object: &Object| {
                members.id(*object).filter(|id| members.place(*id).list() == Some(old))
            };
            let there = |object: &Object| is_there(members, object).is_some();
            predicted.revived = predicted.unreachable.iter().copied().filter(there).collect();
            let revived: HashSet<Object> = predicted.revived.iter().copied().collect();
            // They come before those that were saved, whom the second look finds when all are called.
            let place = |object: &Object| members.id(*object).map(|id| members.place(id).index());
            let saved_from = predicted.revived.iter().filter_map(place).min().unwrap_or(usize::MAX);
            let before = |object: &Object| place(object).is_some_and(|place| place < saved_from);
            let called = members.called.iter().copied().filter(|object| there(object) && before(object));
            predicted.called = called.filter(|object| !revived.contains(object)).collect();
            // In which order they were saved is not known: they are where they were seen.
            let list = survivors.unwrap_or_default();
            for id in list.iter().filter_map(|object| is_there(members, object)).collect::<Vec<_>>() {
                untrack(members, id);
                track(members, id, old);
            }
            saved.clone_from(&predicted.revived);
            out.given.saved += saved.len() as u64;
            out.counts.resurrected += saved.len() as u64;
            predicted.numbers[0] = (predicted.unreachable.len() as u64).saturating_sub(saved.len() as u64);
        }
        let policy = generations.policy();
        let [a, b, c] = generations.counters().counts;
        let [total, pending] = policy.long_lived();
        predicted.numbers[5..].copy_from_slice(&[a, b, c, total, pending]);
        watch.over(&Over { predicted: &predicted, outcome, saved: &saved, kept: &kept });
        out.collections.push(predicted);
    }

    /// Others may begin from here on.
    pub(super) fn finish(&mut self, mut run: Run<Id>) {
        let Self { generations, members, scratch, .. } = self;
        while !matches!(run.next(generations, members, scratch), Ok(generations::Step::Done(_))) {}
    }
}
