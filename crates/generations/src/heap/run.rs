//! A collection, from its start to its end, also if something panics on the way.

use bumpalo::Bump;
use cycles::{Outcome, untrack};
use rc::{Held, Number, Registry};

use super::Heap;
use super::view::{View, as_call, call};
use crate::policy::Policy;
use crate::run::{Kind, Run, Started, Step};

impl<P: Policy + 'static> Heap<P> {
    /// Takes a collection that has begun through all of its steps.
    #[cold]
    #[inline(never)]
    pub(super) fn run(&self, started: Started) -> Outcome {
        let mut over = Over { heap: self, scratch: self.state.scratch.take().unwrap_or_default() };
        let scratch = &over.scratch;
        let found = self
            .state
            .with(&self.registry, |generations, view| {
                let run = started.look(generations, view, scratch).ok()?.run;
                Some((run, view.kept.held.take()))
            })
            .flatten();
        let Some((run, together)) = found else {
            return Outcome::default();
        };
        self.state.catch_up(&self.registry);
        over.scratch.reset();
        Steps { heap: self, scratch: &over.scratch, run, together, outcome: None }.run()
    }
}

/// When it is dropped, nothing is left of the collection.
struct Over<'a, P: Policy + 'static> {
    heap: &'a Heap<P>,
    scratch: Bump,
}

impl<P: Policy + 'static> Drop for Over<'_, P> {
    fn drop(&mut self) {
        let state = &self.heap.state;
        state.traverses.set(false);
        if let Ok(mut generations) = state.generations.try_borrow_mut() {
            generations.over();
        }
        state.catch_up(&self.heap.registry);
        state.give_back(core::mem::take(&mut self.scratch));
    }
}

/// Takes the steps that are left when it is dropped.
struct Steps<'a, P: Policy + 'static> {
    heap: &'a Heap<P>,
    scratch: &'a Bump,
    run: Run<Number>,
    /// Garbage that is cleared, and dies, together.
    together: Option<Held>,
    outcome: Option<Outcome>,
}

impl<P: Policy + 'static> Steps<'_, P> {
    fn run(&mut self) -> Outcome {
        loop {
            if let Some(outcome) = self.outcome {
                return outcome;
            }
            if !self.before_clearing() {
                self.clear_together();
                self.clear();
                self.step();
            }
        }
    }

    /// Clears all that is left to be cleared, if nobody can tell in which order that dies.
    fn clear_together(&mut self) {
        let Heap { registry, state } = self.heap;
        if self.together.is_none() {
            let run = &mut self.run;
            let take = |view: &mut View<'_, '_>| {
                let collection = run.clearing(view)?;
                let held = registry.hold(view.kept.lists.iter(collection.garbage()))?;
                collection.taken(view);
                Some(held)
            };
            self.together = state.with_lists(registry, take).flatten();
        }
        let Some(together) = &mut self.together else { return };
        together.clear_refs();
        together.let_die();
        state.gone(together.died());
        let run = &mut self.run;
        state.with_lists(registry, |view| together.numbers().for_each(|left| run.outlived(view, left)));
        // The others die of it, too, if they do.
        drop(self.together.take());
    }

    /// Clears as many as have nothing else between them.
    fn clear(&mut self) {
        let Heap { registry, state } = self.heap;
        loop {
            let next = state.with_lists(registry, |view| self.run.next_to_clear(view)).flatten();
            let Some(number) = next else { return };
            if let Some(object) = registry.get(number) {
                object.clear_refs();
            }
        }
    }

    fn step(&mut self) {
        let Heap { registry, state } = self.heap;
        let (run, scratch, outcome) = (&mut self.run, self.scratch, &mut self.outcome);
        let next = state.with(registry, |generations, view| {
            loop {
                match run.collect(view, scratch) {
                    // Nothing is counted, so nothing is given up, and nothing can be counted wrongly. Nothing is kept.
                    Ok(Some((Kind::Release | Kind::Garbage, _))) | Err(_) => {}
                    Ok(Some(step)) => return Some(step),
                    Ok(None) => {
                        if let Step::Done(came_to) = run.end(generations) {
                            *outcome = Some(came_to);
                            return None;
                        }
                    }
                }
            }
        });
        match next {
            Some(Some((kind, number))) => self.take(kind, number),
            Some(None) => self.forget_calls(),
            // Steps are taken where nothing is borrowed.
            None => self.outcome = Some(Outcome::default()),
        }
    }

    /// Takes a step that comes before garbage is cleared. Whether there was one.
    fn before_clearing(&mut self) -> bool {
        let Heap { registry, state } = self.heap;
        let (run, scratch) = (&mut self.run, self.scratch);
        let next = state.with_lists(registry, |view| {
            loop {
                match run.before_clearing(view, scratch) {
                    Ok(Some((Kind::Release, _))) | Err(_) => {}
                    Ok(step) => return step,
                }
            }
        });
        let step = next.flatten();
        step.inspect(|&(kind, number)| self.take(kind, number)).is_some()
    }

    /// Does what a step is about.
    fn take(&self, kind: Kind, number: Number) {
        let Heap { registry, state } = self.heap;
        match kind {
            Kind::Clear => _ = registry.get(number).map(|object| object.clear_refs()),
            Kind::Finalize => _ = registry.get(number).map(|object| Registry::finalize(&object)),
            _ => {
                let cleared = as_call(number)
                    .and_then(|at| state.kept.try_borrow_mut().ok()?.calls.get_mut(at)?.cleared.take());
                if let Some(cleared) = cleared {
                    cleared.call();
                }
            }
        }
    }

    /// Those that were called stand among the old objects now; those that were not have been kept for nobody.
    fn forget_calls(&self) {
        let calls = self.heap.state.with(&self.heap.registry, |_, view| {
            for at in 0..view.kept.calls.len() {
                call(at).map(|number| untrack(view, number));
            }
            core::mem::take(&mut view.kept.calls)
        });
        // Drops what callbacks own.
        drop(calls);
    }
}

impl<P: Policy + 'static> Drop for Steps<'_, P> {
    fn drop(&mut self) {
        self.run();
    }
}
