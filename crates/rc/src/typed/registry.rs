//! [`Registry`]: a heap whose objects have numbers, for those who look after them.

use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

use core::any::Any;
use pool::{ArenaSource, Geometry};

use super::any::AnyRef;
use super::handle::PoolHeap;
use super::held::Held;
use super::life::Traversing;
use super::numbers::Number;
use super::object::{FINALIZED, Object};
use super::pointer::Ref;
use super::referents::{self, Gather, ROOM, Show};
use super::trace::{Trace, Visitor};
use super::weak::{self, Cleared};

/// Looks after the objects of a [`Registry`].
pub trait Keeper: Any {
    /// An object is about to go, and nobody can get at it any more. Its number is free when this returns; this was its word.
    ///
    /// It may do anything that a `Drop` may.
    fn gone(&self, number: Number, word: u32);
}

/// A [`PoolHeap`] whose objects have numbers and a word of 31 bits each for somebody who looks after them: a collector of cycles. (Those
/// of types that [cannot refer](Trace::REFERS) have neither, and are as in any heap.)
///
/// A number is a name that can be copied and kept. It owns nothing, so everything here that takes one says what
/// happens if its object has died: nothing does. So a collector needs no unsafe code, and what it does wrong lets
/// an object live, or makes it give up what it refers to; it never frees one.
///
/// A handle, as the heap is.
#[derive(Clone)]
pub struct Registry {
    /// Its core has a keeper.
    heap: PoolHeap,
}

impl Registry {
    /// A registry with pools of this geometry and the default source of arenas.
    #[must_use]
    pub fn new(geometry: Geometry, keeper: Rc<dyn Keeper>) -> Self {
        Self { heap: PoolHeap::keeping(geometry, PoolHeap::default_source(), Some(keeper)) }
    }

    /// A registry with pools of this geometry, whose arenas come from this source.
    #[must_use]
    pub fn with_source(
        geometry: Geometry,
        source: impl ArenaSource + 'static,
        keeper: Rc<dyn Keeper>,
    ) -> Self {
        Self { heap: PoolHeap::keeping(geometry, Box::new(source), Some(keeper)) }
    }

    /// That in which an object lives, if it is one.
    #[must_use]
    pub fn of(object: &AnyRef) -> Option<Self> {
        let heap = PoolHeap::of(object);
        heap.core().keeper.is_some().then_some(Self { heap })
    }

    /// Who looks after it.
    #[must_use]
    pub fn keeper(&self) -> Rc<dyn Keeper> {
        match &self.heap.core().keeper {
            Some(keeper) => keeper.clone(),
            None => unreachable!("a registry has a keeper"),
        }
    }

    /// The heap. What is allocated there has no number.
    #[must_use]
    pub fn heap(&self) -> &PoolHeap {
        &self.heap
    }

    /// A new object, and its number. There is none for a type that cannot refer, and for more than 2²⁷ objects.
    ///
    /// As [`PoolHeap::alloc`] otherwise.
    #[inline]
    pub fn alloc<T: Trace>(&self, value: T) -> (Ref<T>, Option<Number>) {
        if T::REFERS { self.heap.alloc_numbered(value) } else { (self.heap.alloc(value), None) }
    }

    /// The same, or the value again if there is no memory for it.
    ///
    /// # Errors
    ///
    /// The value, if the source refuses an arena or the global allocator memory.
    #[inline]
    pub fn try_alloc<T: Trace>(&self, value: T) -> Result<(Ref<T>, Option<Number>), T> {
        if T::REFERS {
            self.heap.try_alloc_numbered(value)
        } else {
            self.heap.try_alloc(value).map(|object| (object, None))
        }
    }

    /// How many objects have numbers.
    #[must_use]
    pub fn numbered(&self) -> usize {
        self.heap.core().numbers.borrow().len()
    }

    /// The number of an object, if it has one here.
    #[inline]
    #[must_use]
    pub fn number(&self, object: &AnyRef) -> Option<Number> {
        self.is_ours(object.object()).then(|| {
            // SAFETY: the object is alive while the reference is, and has a room.
            unsafe { object.object().room() }.number
        })?
    }

    /// A reference to the object of this number, if it is alive.
    #[inline]
    #[must_use]
    pub fn get(&self, number: Number) -> Option<AnyRef> {
        let object = self.object(number)?;
        // SAFETY: what has a number is there. At zero it waits for its death, and stays dead; else the new reference is
        // counted.
        unsafe {
            if object.header().count.get() == 0 {
                return None;
            }
            object.increment();
            Some(AnyRef::from_object(object))
        }
    }

    /// How many references there are to the object of this number, as a word of
    /// [`Counting::SATURATING`](crate::Counting::SATURATING): 0 if its death has been put off.
    #[inline]
    #[must_use]
    pub fn count(&self, number: Number) -> Option<u64> {
        // SAFETY: what has a number is there.
        self.object(number).map(|object| unsafe { object.header() }.count.get().into())
    }

    /// The word of the object of this number; 0 at its birth, and if there is none.
    #[inline]
    #[must_use]
    pub fn word(&self, number: Number) -> u32 {
        // SAFETY: what has a number is there.
        self.object(number).map_or(0, |object| unsafe { object.word() })
    }

    /// Sets it: all bits but the highest.
    #[inline]
    pub fn set_word(&self, number: Number, word: u32) {
        if let Some(object) = self.object(number) {
            // SAFETY: as above.
            unsafe { object.set_word(word) };
        }
    }

    /// Sets several: the first to this, each of the others to one more than the one before, also where there is no object.
    #[inline]
    pub fn set_words(&self, numbers: &[Option<Number>], first: u32) {
        let known = self.heap.core().numbers.borrow();
        let known = known.all();
        let mut word = first;
        for &number in numbers {
            if let Some(object) = number.and_then(|number| known.get(number)) {
                // SAFETY: as above.
                unsafe { object.set_word(word) };
            }
            word = word.wrapping_add(1);
        }
    }

    /// Says that something will be done with the object of this number soon, so that the processor may fetch it.
    #[inline]
    pub fn fetch(&self, number: Number) {
        if let Some(object) = self.object(number) {
            object.prefetch();
        }
    }

    /// Holds the objects of these numbers, those that are alive, to be cleared and let die together. `None` if one of them
    /// [finalizes](Trace::FINALIZES), or is of a type of which the [order](Trace::ORDERED) matters in which it dies.
    #[must_use]
    pub fn hold(&self, numbers: impl Iterator<Item = Number>) -> Option<Held> {
        let mut held = Held::new(&self.heap, numbers.size_hint().1.unwrap_or_default());
        let mut fit = NonNull::dangling();
        // The iterator is foreign code: nothing is borrowed while it runs.
        for object in numbers.filter_map(|number| self.object(number)) {
            // SAFETY: what has a number is there; its type is while its core is. What is at zero waits for its death.
            unsafe {
                let header = object.header();
                if header.ty != fit {
                    fit = header.ty;
                    let info = fit.as_ref().info;
                    if info.ordered || info.finalizes {
                        return None;
                    }
                }
                if header.count.get() != 0 {
                    held.push(object);
                }
            }
        }
        Some(held)
    }

    /// While the result is there, nothing dies in this heap, so that objects can be looked at. What would have died does when
    /// it is dropped.
    #[must_use]
    pub fn look(&self) -> Look<'_> {
        // SAFETY: `self`, which is borrowed for so long, needs the core.
        let nothing_dies = unsafe { Traversing::new(self.heap.core_pointer()) };
        Look { registry: self, _nothing_dies: nothing_dies }
    }

    /// Whether there are objects with weak references.
    #[must_use]
    pub fn has_weak_references(&self) -> bool {
        !self.heap.core().heads.borrow().is_empty()
    }

    /// Whether any object that has had a number is of a type that [finalizes](Trace::FINALIZES).
    #[must_use]
    pub fn has_finalizers(&self) -> bool {
        self.heap.core().finalizes.get()
    }

    /// Whether the finalizer of the object of this number has still to run. If so, it has not from here on, and will not when
    /// the object dies: run it.
    #[inline]
    #[must_use]
    pub fn take_finalizer(&self, number: Number) -> bool {
        let Some(object) = self.object(number) else { return false };
        // SAFETY: what has a number is there; its type is while its core is.
        let (bits, ty) = unsafe { (object.bits(), object.header().ty.as_ref()) };
        let is_to_run = ty.info.finalizes && bits.get() & FINALIZED == 0;
        bits.set(bits.get() | FINALIZED);
        is_to_run
    }

    /// Runs an object's finalizer, whether or not it has run before: who goes by turns asks
    /// [`take_finalizer`](Self::take_finalizer) first.
    pub fn finalize(object: &AnyRef) {
        // SAFETY: the reference is there for so long; the object is of the type that its header says.
        unsafe { (object.object().header().ty.as_ref().info.finalize)(object.object()) };
    }

    /// Clears a weak reference to the object of this number, the one without callbacks first, then the newest; or
    /// that of those with callbacks. `None` when there is none left; else that which is to be called, if there is something
    /// to call.
    #[inline]
    #[must_use]
    pub fn clear_weak(&self, number: Number, calling_only: bool) -> Option<Option<Cleared>> {
        let object = self.object(number)?;
        // SAFETY: what has a number is there.
        unsafe { weak::clear_first(object, calling_only) }
    }

    #[inline]
    fn object(&self, number: Number) -> Option<Object> {
        // SAFETY: it is borrowed for changes only where nothing is called that could come here.
        let numbers = unsafe { self.heap.core().numbers.try_borrow_unguarded() };
        numbers.ok()?.get(number)
    }

    /// Whether an object, which is there, has a room here.
    #[inline]
    fn is_ours(&self, object: Object) -> bool {
        // SAFETY: by contract.
        unsafe { object.is_numbered() && object.core() == self.heap.core_pointer() }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("numbered", &self.numbered()).finish_non_exhaustive()
    }
}

/// Who is told of objects by [`Look::survey`]. It may use the heap meanwhile, in which nothing dies before the look is over.
pub trait Surveyor {
    /// The object of this index among those that are surveyed has this [count](Registry::count). Whether it is to be told what
    /// that refers to.
    fn counted(&mut self, at: usize, word: u64) -> bool;

    /// Those from this index on have these, and none of them is immortal. It is to be told what they refer to.
    fn all_counted(&mut self, at: usize, counts: &[u32]);

    /// By index, what is counted of each object: of this, one is taken off for each reference.
    fn outside(&mut self) -> &mut [u32];

    /// The next ones refer to objects of these indices, for which one has been taken off each; after how many those of each one
    /// end.
    fn refer(&mut self, referents: &[u32], ends: &[u32]);
}

/// Nothing dies in a heap while this is there: see [`Registry::look`].
///
/// It is not there for longer than the registry.
///
/// ```compile_fail,E0505
/// fn look(registry: rc::Registry) {
///     let _look = registry.look();
///     drop(registry);
/// }
/// ```
pub struct Look<'a> {
    registry: &'a Registry,
    _nothing_dies: Traversing<'a>,
}

impl Look<'_> {
    /// Tells the surveyor of these objects, in their order: how each is [counted](Surveyor::counted), and then, also for those of
    /// which that is not asked, to which of them it [refers](Surveyor::refer): to nobody. Counts may be told of ahead of that.
    ///
    /// They are known by their [words](Registry::word): that of the first is this, that of each of the others one more than that
    /// of the one before.
    ///
    /// Whoever is not alive counts one reference, and refers to nothing.
    #[inline]
    pub fn survey(&self, objects: &[Number], first: u32, surveyor: &mut impl Surveyor) {
        let core = self.registry.heap.core_pointer();
        let (mut here, mut counts) = ([Object::NONE; TOGETHER], [0; TOGETHER]);
        let (room, mut more) = ([const { Cell::new(Object::NONE) }; ROOM], Vec::new());
        let (mut told, mut ends) = (Vec::new(), [0; TOGETHER]);
        let mut at = 0;
        while let Some(rest) = objects.get(at..).filter(|rest| !rest.is_empty()) {
            let mut many = 0;
            // The surveyor is foreign code: nothing is borrowed while it runs. What is found here stays, as nothing dies.
            let next = {
                let numbers = self.registry.heap.core().numbers.borrow();
                let numbers = numbers.all();
                for ((&number, place), counted) in rest.iter().zip(&mut here).zip(&mut counts) {
                    let Some(object) = numbers.get(number) else { break };
                    // SAFETY: what has a number is there.
                    let count = unsafe { object.header() }.count.get();
                    if count.cast_signed() <= 0 {
                        break;
                    }
                    (*place, *counted) = (object, count);
                    many += 1;
                }
                // Then there is none, it is immortal, or its death has been put off.
                rest.get(many).map(|&number| {
                    let object = numbers.get(number);
                    // SAFETY: as above.
                    (object, object.map_or(1, |object| unsafe { object.header() }.count.get().max(1)))
                })
            };
            surveyor.all_counted(at, counts.get(..many).unwrap_or_default());
            let mut refers = true;
            if let (Some((object, count)), Some(place)) = (next, here.get_mut(many)) {
                refers = surveyor.counted(at + many, count.into());
                *place = object.filter(|_| refers).unwrap_or(*place);
                refers = refers && object.is_some();
                many += usize::from(refers);
            }
            at += many;
            let here = here.get(..many).unwrap_or_default();
            let ends = ends.get_mut(..many).unwrap_or_default();
            // SAFETY: `self`, which is there for longer, borrows who needs the core, and nothing dies while it is.
            let mut gather = unsafe { Gather::new(core, &room, &mut more) };
            let mut visitor = Visitor::gathering(&room, &mut gather);
            // SAFETY: they are there, and nothing dies.
            unsafe { traverse_runs(here, &mut visitor, ends) };
            let last = visitor.last();
            let last = room.get(..last).unwrap_or_default();
            let gathered = if more.is_empty() {
                last
            } else {
                more.extend_from_slice(last);
                &more
            };
            // SAFETY: it was there when it was gathered, in this heap.
            let referents = unsafe { referents::tell(gathered, ends, first, surveyor.outside(), &mut told) };
            surveyor.refer(referents, ends);
            more.clear();
            if !refers {
                surveyor.refer(&[], &[0]);
                at += 1;
            }
        }
    }

    /// Calls `visit` with the number of each object in this heap that has one and that the object of this number says it refers
    /// to.
    #[inline]
    pub fn numbers(&self, number: Number, mut visit: impl FnMut(Number)) {
        self.traverse(number, |object| self.registry.number(object).into_iter().for_each(&mut visit));
    }

    #[inline]
    fn traverse(&self, number: Number, mut visit: impl FnMut(&AnyRef)) {
        if let Some(object) = self.registry.object(number) {
            // SAFETY: what has a number is there, with its value; it stays as long as nothing dies.
            unsafe { object.traverse(&mut Visitor::showing(&mut Show(&mut visit))) };
        }
    }
}

/// Traverses objects, those of one type that follow each other at once; writes down how many references were told of after each.
///
/// # Safety
///
/// They are there, and none of them dies meanwhile.
#[inline]
unsafe fn traverse_runs(objects: &[Object], visitor: &mut Visitor<'_>, ends: &mut [u32]) {
    let mut at = 0;
    while let (Some(run), Some(ends)) = (objects.get(at..), ends.get_mut(at..)) {
        let Some(first) = run.first() else { break };
        // SAFETY: by contract they are there; the first is of the type that its header says.
        at += unsafe { (first.header().ty.as_ref().info.traverse_all)(run, visitor, ends) };
    }
}

/// How many objects are traversed before it is told to what they refer.
const TOGETHER: usize = 64;

impl fmt::Debug for Look<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Look").finish_non_exhaustive()
    }
}
