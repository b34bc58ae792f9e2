//! [`Heap`]: typed pointers whose cycles are collected.

mod run;
mod state;
mod view;

use core::any::Any;
use core::fmt;

use alloc::rc::Rc;

use cycles::{Immortals, Outcome, Place};
use pool::{ArenaSource, Geometry};
use rc::{AnyRef, Keeper, PoolHeap, Ref, Registry, Trace};

use crate::counters::{Counters, Stats};
use crate::generation::{Generation, PERMANENT};
use crate::policy::{Generational, Policy};
use crate::rules::{Request, Rules, Runs};
use crate::schedule::{Answer, Generations, Thread};
use state::State;

/// A heap of typed objects ([`Ref`]) that collects cycles of references by itself.
///
/// What counting can free dies at once, as in a [`PoolHeap`]. For the rest, allocations are counted, and by a [`Policy`] one
/// of them begins with a collection of some generations: CPython's, if nothing else is said, with the thresholds of its
/// newest versions. Objects whose types [cannot refer](Trace::REFERS) are in no cycle; they cost nothing more than in a
/// `PoolHeap`. All others take 16 bytes more.
///
/// A cycle is collected as CPython's collector does it:
///
/// 1. weak references to all objects in garbage cycles are cleared, then their callbacks run;
/// 2. [finalizers](Trace::finalize) run, youngest generation last, in the order in which the objects were born;
/// 3. what these have brought back to life, and what that refers to, lives on (its finalizer will not run again);
/// 4. [`clear_refs`](Trace::clear_refs) is called on each of the others, and they die of it, *by counting*.
///
/// So a type's `clear_refs` has to give up something for cycles through it to be collected: those of
/// [`Slot`](rc::Slot) and `RefCell` do; a [`Ref`] that is in neither, be it in a `Vec` or a `OnceCell`, cannot be given up. A
/// cycle that gives up nothing leaks, and each collection of its generation tells of that: as [`collected`](Outcome::collected)
/// that [`outlived`](Outcome::outlived) it.
///
/// CPython's garbage dies in the midst of that: one object inside of the death of another. If all garbage of a collection is of
/// types that have no finalizer and say that [nobody can tell](Trace::ORDERED), all of it is cleared before any of it dies, which
/// is twice as fast; only what gives nothing up dies by what dies after it, or lives on.
///
/// A handle: clones are the same heap. Objects do not need it; those in cycles are collected, all of them, when the last handle
/// is dropped. ([`Heap::of`] makes a new one from an object.)
///
/// ```
/// use generations::Heap;
/// use rc::{Ref, Slot, Trace, Visitor};
///
/// #[derive(Default)]
/// struct Node {
///     other: Slot<Node>,
/// }
///
/// impl Trace for Node {
///     const FINALIZES: bool = false;
///     fn traverse(&self, visitor: &mut Visitor<'_>) {
///         self.other.traverse(visitor);
///     }
///     fn clear_refs(&self) {
///         self.other.clear_refs();
///     }
/// }
///
/// let heap = Heap::default();
/// for _ in 0..10_000 {
///     let (one, two) = (heap.alloc(Node::default()), heap.alloc(Node::default()));
///     one.other.set(two.clone());
///     two.other.set(one);
/// }
/// let [young, ..] = heap.stats();
/// assert!(young.collections >= 9 && young.collected >= 18_000);
/// heap.collect();
/// assert_eq!(heap.tracked(), 0);
/// ```
///
/// # Panics
///
/// If a callback, a finalizer, a `clear_refs`, a `traverse` or a `Drop` panics, the collection goes on while that unwinds, and
/// the heap is as it would be without; after a `traverse`, everything that would have been garbage stays for the next
/// collection. A second panic meanwhile aborts, as everywhere in Rust.
///
/// # What may be done inside of what
///
/// Finalizers, callbacks, `clear_refs` and `Drop` may use the heap. While one of its collections is going on no other one
/// begins, and `collect` does nothing. The same for `traverse`, in which also nothing dies, and functions that tell of the
/// heap tell of an empty one.
///
/// # Limits
///
/// * What a [`Weak`](rc::Weak) is owned by cannot be seen. So the callback of one that is owned by garbage runs, too, where
///   CPython's would not.
/// * Of objects that can refer, 2²⁷ − 1 are looked at; more than that live until counting frees them.
/// * A handle of the heap in one of its objects is one that is not dropped: if that object is part of a cycle, dropping all
///   others collects nothing. An object asks [`Heap::of`] instead.
/// * References to objects of other heaps are seen as references from outside of those: cycles through two heaps leak.
pub struct Heap<P: Policy + 'static = Generational> {
    registry: Registry,
    state: Rc<State<P>>,
}

/// CPython 3.14.5's, but collections run where they become due.
fn rules() -> (Rules, cycles::Rules) {
    let found = Rules::for_cpython(3, 14, 5).zip(cycles::Rules::for_cpython(3, 14, 5));
    let Some((rules, collector)) = found else { unreachable!("they are known") };
    (
        Rules { runs: Runs::Inside, calls_back: false, ..rules },
        cycles::Rules { immortals: Immortals::Untracked, ..collector },
    )
}

fn geometry() -> Geometry {
    match pool::preset("cpython-3.10").or(pool::PRESETS.last()) {
        Some(preset) => preset.geometry,
        None => unreachable!("there are presets"),
    }
}

impl Default for Heap {
    fn default() -> Self {
        let (rules, _) = rules();
        Self::new(Generational::with_part(rules.thresholds, rules.part))
    }
}

impl<P: Policy + 'static> Heap<P> {
    /// A heap that is collected by this policy, with the pools of [`PoolHeap::default`].
    #[must_use]
    pub fn new(policy: P) -> Self {
        Self::with(policy, |state| Registry::new(geometry(), state))
    }

    /// The same with pools of this geometry, whose arenas come from this source.
    #[must_use]
    pub fn with_source(policy: P, geometry: Geometry, source: impl ArenaSource + 'static) -> Self {
        Self::with(policy, |state| Registry::with_source(geometry, source, state))
    }

    fn with(policy: P, registry: impl FnOnce(Rc<dyn Keeper>) -> Registry) -> Self {
        let (rules, collector) = rules();
        let state = Rc::new(State::new(Generations::with_policy(policy, rules, collector)));
        Self { registry: registry(state.clone()), state }
    }

    /// The heap of an object, if it is one with this kind of policy.
    #[must_use]
    pub fn of(object: &AnyRef) -> Option<Self> {
        let registry = Registry::of(object)?;
        let keeper: Rc<dyn Any> = registry.keeper();
        let state = keeper.downcast::<State<P>>().ok()?;
        state.handles.set(state.handles.get() + 1);
        Some(Self { registry, state })
    }

    /// A new object.
    ///
    /// A collection that is due runs before. Without memory this ends as all of Rust's collections do, by
    /// `handle_alloc_error`.
    #[inline]
    pub fn alloc<T: Trace>(&self, value: T) -> Ref<T> {
        if T::REFERS {
            self.count();
        }
        let (object, number) = self.registry.alloc(value);
        if let Some(number) = number {
            self.state.born(&self.registry, number);
        }
        object
    }

    /// A new object, or the value again if there is no memory for it, not even after a collection of everything.
    ///
    /// # Errors
    ///
    /// The value, if the source refuses an arena or the global allocator memory.
    #[inline]
    pub fn try_alloc<T: Trace>(&self, value: T) -> Result<Ref<T>, T> {
        if T::REFERS {
            self.count();
        }
        let (object, number) = self.registry.try_alloc(value).or_else(|value| {
            self.collect();
            self.registry.try_alloc(value)
        })?;
        if let Some(number) = number {
            self.state.born(&self.registry, number);
        }
        Ok(object)
    }

    /// A new object that never dies.
    pub fn immortal<T: Trace>(&self, value: T) -> Ref<T> {
        let object = self.alloc(value);
        Ref::immortalize(&object);
        object
    }

    #[inline]
    fn count(&self) {
        if self.state.allocated() {
            self.collect_due();
        }
    }

    #[cold]
    #[inline(never)]
    fn collect_due(&self) {
        let due = self.state.with(&self.registry, |generations, _| generations.trigger(Thread(0), false));
        if let Some(Answer::Collect(started)) = due {
            self.run(started);
        }
    }

    /// Collects all generations, whether or not collections are [enabled](Self::set_enabled). What that came to: nothing, if a
    /// collection is going on.
    pub fn collect(&self) -> Outcome {
        self.request(Request::Program(Generation::OLD))
    }

    /// Collects a generation, and those younger.
    pub fn collect_generation(&self, generation: Generation) -> Outcome {
        self.request(Request::Program(generation))
    }

    fn request(&self, request: Request) -> Outcome {
        match self.state.with(&self.registry, |generations, _| generations.request(request)) {
            Some(Answer::Collect(started)) => self.run(started),
            _ => Outcome::default(),
        }
    }

    /// Whether collections may begin by themselves.
    pub fn set_enabled(&self, enabled: bool) {
        self.state.with(&self.registry, |generations, _| generations.set_enabled(enabled));
    }

    /// Changes the policy: its thresholds, for one. `None` inside of a policy or a traversal.
    ///
    /// ```
    /// let heap = generations::Heap::default();
    /// heap.change_policy(|policy| policy.set_thresholds([10_000, 5, 5]));
    /// ```
    pub fn change_policy<R>(&self, change: impl FnOnce(&mut P) -> R) -> Option<R> {
        self.state.generations.try_borrow_mut().ok().map(|mut generations| generations.change(change))
    }

    /// Puts all objects that are there aside: no collection looks at them any more.
    pub fn freeze(&self) {
        self.state.with(&self.registry, |generations, view| generations.freeze(view));
    }

    /// Puts them into the oldest generation.
    pub fn unfreeze(&self) {
        self.state.with(&self.registry, |generations, view| generations.unfreeze(view));
    }

    /// By generation: what its collections have come to.
    #[must_use]
    pub fn stats(&self) -> [Stats; Generation::MANY] {
        self.state.generations.try_borrow().map_or_else(|_| Default::default(), |it| *it.stats())
    }

    /// What the policy decides by.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.state.generations.try_borrow().map_or_else(|_| Counters::default(), |it| *it.counters())
    }

    /// Whether a collection is going on.
    #[must_use]
    pub fn is_collecting(&self) -> bool {
        self.state.generations.try_borrow().map_or(true, |generations| generations.is_running())
    }

    /// How many objects collections look at.
    #[must_use]
    pub fn tracked(&self) -> usize {
        Generation::ALL.into_iter().map(|generation| self.on(generation.list())).sum()
    }

    /// How many objects are frozen.
    #[must_use]
    pub fn frozen(&self) -> usize {
        self.on(PERMANENT)
    }

    fn on(&self, list: cycles::ListId) -> usize {
        self.state.kept.try_borrow().map_or(0, |kept| kept.lists.len(list))
    }

    /// In which generation an object is; `None` if collections do not look at it: it cannot refer, is frozen or immortal, is
    /// in another heap, or is looked at just now.
    #[must_use]
    pub fn generation_of(&self, object: &AnyRef) -> Option<Generation> {
        let place = Place::from_short(self.registry.word(self.registry.number(object)?));
        Generation::new(place.list()?.number().into())
    }

    /// The pools that it lives in. What is allocated there is never collected.
    #[must_use]
    pub fn memory(&self) -> &PoolHeap {
        self.registry.heap()
    }
}

impl<P: Policy + 'static> Clone for Heap<P> {
    fn clone(&self) -> Self {
        self.state.handles.set(self.state.handles.get() + 1);
        Self { registry: self.registry.clone(), state: self.state.clone() }
    }
}

impl<P: Policy + 'static> Drop for Heap<P> {
    fn drop(&mut self) {
        let left = self.state.handles.get() - 1;
        self.state.handles.set(left);
        if left == 0 {
            self.request(Request::NoFail);
        }
    }
}

impl<P: Policy + 'static> fmt::Debug for Heap<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap").field("tracked", &self.tracked()).finish_non_exhaustive()
    }
}
