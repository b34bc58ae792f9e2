//! [`Registry`]: a heap whose objects have numbers, for those who look after them.

use core::fmt;

use alloc::boxed::Box;
use alloc::rc::Rc;

use core::any::Any;
use pool::{ArenaSource, Geometry};

use super::any::AnyRef;
use super::handle::PoolHeap;
use super::life::Traversing;
use super::numbers::Number;
use super::object::{FINALIZED, NUMBERED, Object};
use super::pointer::Ref;
use super::referents::Referents;
use super::trace::{Trace, Visitor};
use super::weak::{self, Cleared};

/// Looks after the objects of a [`Registry`].
pub trait Keeper: Any {
    /// An object is about to go, and nobody can get at it any more. Its number is free when this returns; this was its word.
    ///
    /// It may do anything that a `Drop` may.
    fn gone(&self, number: Number, word: u64);
}

/// A [`PoolHeap`] whose objects have numbers and a word each for somebody who looks after them: a collector of cycles. (Those
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

    /// A new object, and its number. There is none for a type that cannot refer, and for more than 2³¹ objects.
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
    pub fn word(&self, number: Number) -> u64 {
        // SAFETY: what has a number is there, and has a room.
        self.object(number).map_or(0, |object| unsafe { object.room() }.word.get())
    }

    /// Sets it.
    #[inline]
    pub fn set_word(&self, number: Number, word: u64) {
        if let Some(object) = self.object(number) {
            // SAFETY: as above.
            unsafe { object.room() }.word.set(word);
        }
    }

    /// While the result is there, nothing dies in this heap, so that objects can be looked at. What would have died does when
    /// it is dropped.
    #[must_use]
    pub fn look(&self) -> Look<'_> {
        // SAFETY: `self`, which is borrowed for so long, needs the core.
        let nothing_dies = unsafe { Traversing::new(self.heap.core_pointer()) };
        Look { registry: self, _nothing_dies: nothing_dies }
    }

    /// Whether the finalizer of the object of this number has still to run. If so, it has not from here on, and will not when
    /// the object dies: run it.
    #[inline]
    #[must_use]
    pub fn take_finalizer(&self, number: Number) -> bool {
        // That none has is soon said.
        let any = self.heap.core().finalizes.get();
        let Some(object) = any.then(|| self.object(number)).flatten() else { return false };
        // SAFETY: what has a number is there; its type is while its core is.
        let (header, ty) = unsafe { (object.header(), object.header().ty.as_ref()) };
        let bits = &header.bits;
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
        // That there are none is soon said.
        let any = !self.heap.core().heads.borrow().is_empty();
        let object = any.then(|| self.object(number))??;
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
        unsafe { object.header().bits.get() & NUMBERED != 0 && object.core() == self.heap.core_pointer() }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("numbered", &self.numbered()).finish_non_exhaustive()
    }
}

/// Nothing dies in a heap while this is there: see [`Registry::look`].
pub struct Look<'a> {
    registry: &'a Registry,
    _nothing_dies: Traversing,
}

impl Look<'_> {
    /// Calls `visit` for each object in this heap that has a number and that one of these objects says it refers to: with the
    /// index of the latter, and the word of the former. In the order of these objects.
    pub fn words(&self, objects: &[Number], mut visit: impl FnMut(usize, u64)) {
        let mut tell = |of: &[usize], words: &[u64]| {
            for (&at, &word) in of.iter().zip(words) {
                visit(at, word);
            }
        };
        // SAFETY: nothing dies while `self` is there.
        let mut referents = unsafe { Referents::new(self.registry.heap.core(), &mut tell) };
        let mut visitor = Visitor::gather(&mut referents);
        for (at, &object) in objects.iter().enumerate() {
            if let Some(object) = self.registry.object(object) {
                visitor.begin(at);
                // SAFETY: as in `traverse`.
                unsafe { (object.header().ty.as_ref().info.traverse)(object, &mut visitor) };
            }
        }
        visitor.flush();
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
            // SAFETY: what has a number is there, with its value; it stays as long as nothing dies. It is of the type that
            // its header says.
            unsafe { (object.header().ty.as_ref().info.traverse)(object, &mut Visitor::new(&mut visit)) };
        }
    }
}

impl fmt::Debug for Look<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Look").finish_non_exhaustive()
    }
}

/// Parts with an object that dies: whoever looks after it is told, then its weak references are cleared, also if that panics.
///
/// # Safety
///
/// The object is there and stays there until this returns; it counts no reference.
#[cold]
#[inline(never)]
pub(super) unsafe fn part(object: Object) {
    struct Part(Object, Option<Number>);

    impl Drop for Part {
        fn drop(&mut self) {
            // SAFETY: by the contract of `part`.
            unsafe {
                if let Some(number) = self.1 {
                    self.0.core().as_ref().numbers.borrow_mut().remove(number);
                }
                if self.0.header().weak() != 0 {
                    weak::clear(self.0);
                }
            }
        }
    }

    let mut parting = Part(object, None);
    // SAFETY: by contract the object is there, so its core is; what has that bit has a room.
    unsafe {
        if object.header().bits.get() & NUMBERED != 0 {
            let (room, core) = (object.room(), object.core().as_ref());
            parting.1 = room.number;
            if let (Some(number), Some(keeper)) = (room.number, &core.keeper) {
                keeper.gone(number, room.word.get());
            }
        }
    }
}
