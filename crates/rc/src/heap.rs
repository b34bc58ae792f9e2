//! What counting asks of an object model.
#![forbid(unsafe_code)]

use crate::rules::{Finalizers, Part};

/// A weak reference that was taken off its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detached<I> {
    /// The weak reference, an object itself.
    pub reference: I,
    /// What it calls.
    pub callback: Callback<I>,
}

/// What a weak reference calls when its object dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callback<I> {
    /// Nothing.
    None,
    /// Something that is no object of the heap.
    Foreign,
    /// An object, of which the weak reference had owned a reference: that goes to whom it is detached
    /// by, and is given up when all callbacks have run.
    Owned(I),
}

/// What happens inside a death, for those who keep books. None of it needs doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note<I> {
    /// A death begins: nothing has been done to the object yet. (CPython takes it off the
    /// collector's lists.) Also when a deposited one is taken up.
    Begin(I),
    /// A death is deposited in the trashcan: it begins later.
    Deposit(I),
    /// The finalizer has made new references: the object lives on.
    Resurrect(I),
    /// Its members are released from here on; what is left of it is for nobody to see.
    Release(I),
}

/// An object model, as counting sees it.
///
/// It stores counts and knows which references an object owns; it does nothing by itself. All
/// functions are safe and a wrong answer cannot break memory safety *here*: what follows from a wrong
/// [`Free`](crate::Death::Free) is the affair of whoever frees.
///
/// Implement it for `&MyHeap` if the heap is made of cells: functions take `&mut self`, which is then
/// a copy of the reference.
pub trait Heap {
    /// Names an object: a pointer or an index.
    type Id: Copy + Eq;

    /// The count of an object as it is stored: what a word means is told by
    /// [`Counting`](crate::Counting).
    fn count(&self, object: Self::Id) -> u64;

    /// Stores a count.
    fn set_count(&mut self, object: Self::Id, word: u64);

    /// Takes one of the references that a dying object owns out of it, in the order in which the
    /// object gives them up; `None` when there is none left.
    fn release_next(&mut self, object: Self::Id) -> Option<Self::Id>;

    /// The reference that a dying object gives up after its memory, if there is one: to its type.
    /// Asked for just before the object is freed.
    fn release_last(&mut self, object: Self::Id) -> Option<Self::Id> {
        let _ = object;
        None
    }

    /// Whether a finalizer is to run now that the object dies. A heap whose finalizers run once
    /// remembers that it said so.
    fn take_finalizer(&mut self, object: Self::Id) -> bool {
        let _ = object;
        false
    }

    /// Whether a finalizer of the older kind is to run, behind all that [`take_finalizer`](Self::take_finalizer) and the weak
    /// references come to. It runs whenever the object dies. ([`Finalizers::AfterWeak`](crate::Finalizers) is for versions
    /// that have no other kind, and does not ask.)
    fn has_late_finalizer(&self, object: Self::Id) -> bool {
        let _ = object;
        false
    }

    /// When the finalizer of this object runs, if that is not as the rules say. (In CPython the weak references of
    /// generators are cleared first, in all versions.)
    fn finalizers(&self, object: Self::Id) -> Option<Finalizers> {
        let _ = object;
        None
    }

    /// Takes the next weak reference off a dying object; `None` when there is none left. In CPython
    /// the ones without callbacks that are shared come first, then the newest first.
    fn detach_weak(&mut self, object: Self::Id) -> Option<Detached<Self::Id>> {
        let _ = object;
        None
    }

    /// Asked before each reference that a dying object gives up, and when there are no more: whether its weak references
    /// are cleared here, and not only where the [rules](crate::Finalizers) say. A heap that says so remembers it. (In
    /// CPython a class made of a type that has weak references clears them between its own members and that type's.)
    fn clears_weak(&mut self, object: Self::Id) -> bool {
        let _ = object;
        false
    }

    /// What an object is to the trashcan.
    fn part(&self, object: Self::Id) -> Part {
        let _ = object;
        Part::Container
    }

    /// With [`Trashcan::Given`](crate::Trashcan::Given): whether the death of an object that takes
    /// part, which is about to begin, is deposited.
    fn deposits(&mut self, object: Self::Id) -> bool {
        let _ = object;
        false
    }

    /// With [`Trashcan::Given`](crate::Trashcan::Given): whether deposited deaths are taken up now
    /// that one which takes part has ended.
    fn drains(&mut self) -> bool {
        true
    }

    /// Whether the driver is told before each death begins ([`Death::Begin`](crate::Death::Begin)), and wherever something
    /// else may happen between ([`Death::Pause`](crate::Death::Pause)): for heaps that learn only then what the object
    /// owns, or what comes next.
    fn announces(&self) -> bool {
        false
    }

    /// Told what happens.
    fn note(&mut self, note: Note<Self::Id>) {
        let _ = note;
    }
}

impl<H: Heap + ?Sized> Heap for &mut H {
    type Id = H::Id;

    fn count(&self, object: Self::Id) -> u64 {
        (**self).count(object)
    }

    fn set_count(&mut self, object: Self::Id, word: u64) {
        (**self).set_count(object, word);
    }

    fn release_next(&mut self, object: Self::Id) -> Option<Self::Id> {
        (**self).release_next(object)
    }

    fn release_last(&mut self, object: Self::Id) -> Option<Self::Id> {
        (**self).release_last(object)
    }

    fn take_finalizer(&mut self, object: Self::Id) -> bool {
        (**self).take_finalizer(object)
    }

    fn has_late_finalizer(&self, object: Self::Id) -> bool {
        (**self).has_late_finalizer(object)
    }

    fn finalizers(&self, object: Self::Id) -> Option<Finalizers> {
        (**self).finalizers(object)
    }

    fn detach_weak(&mut self, object: Self::Id) -> Option<Detached<Self::Id>> {
        (**self).detach_weak(object)
    }

    fn clears_weak(&mut self, object: Self::Id) -> bool {
        (**self).clears_weak(object)
    }

    fn part(&self, object: Self::Id) -> Part {
        (**self).part(object)
    }

    fn deposits(&mut self, object: Self::Id) -> bool {
        (**self).deposits(object)
    }

    fn drains(&mut self) -> bool {
        (**self).drains()
    }

    fn announces(&self) -> bool {
        (**self).announces()
    }

    fn note(&mut self, note: Note<Self::Id>) {
        (**self).note(note);
    }
}
