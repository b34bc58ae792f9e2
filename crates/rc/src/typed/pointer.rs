//! [`Ref`]: a counted pointer to a value of known type.

use core::cell::Cell;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;

use super::any::AnyRef;
use super::handle::PoolHeap;
use super::life::{die, immortalize};
use super::object::{Header, Object};
use super::trace::Trace;
use super::weak::Weak;
use crate::count::{Count, Counting};

/// A counted reference to a `T` that lives in a [`PoolHeap`]: one pointer wide.
///
/// Cloning increments, dropping decrements; with the last reference the object dies at once, in the order
/// of [`Deaths`](crate::Deaths): [finalizer](Trace::finalize), weak references and their callbacks, the value
/// (`Drop`, then its fields as they are declared), the memory. What dies by that dies inside of it, down to
/// 50 levels; deeper deaths wait until the outermost is over, so that no list is too long to be dropped.
///
/// Two references are equal if they refer to the same object.
///
/// It stays on its thread, as everything here does (counting atomically would cost each clone what a whole
/// allocation costs now, and CPython's order of deaths is that of one thread):
///
/// ```compile_fail,E0277
/// let heap = rc::PoolHeap::default();
/// let one = heap.alloc(1);
/// std::thread::spawn(move || drop(one));
/// ```
/// ```compile_fail,E0277
/// fn shared<T: Sync>(_: &T) {}
/// shared(&rc::PoolHeap::default().alloc(1));
/// ```
///
/// And it stays a reference to a `T`: a supertype of that may have another [`Trace`].
///
/// ```compile_fail,E0308
/// use rc::{Leaf, Ref};
/// fn less(more: Ref<Leaf<fn(&u8)>>) -> Ref<Leaf<fn(&'static u8)>> {
///     more
/// }
/// ```
///
/// Cycles of references are never freed by counting: they leak, but in a heap that has a collector.
#[repr(transparent)]
pub struct Ref<T: Trace> {
    /// Alive: `self` is counted.
    object: Object,
    /// As a cell of it would: what is known of a type is not true of its supertypes.
    owns: PhantomData<Cell<T>>,
}

impl<T: Trace> Ref<T> {
    /// # Safety
    ///
    /// The object is a `T`, and a reference was counted that nobody else has.
    #[inline]
    pub(super) unsafe fn from_object(object: Object) -> Self {
        Self { object, owns: PhantomData }
    }

    #[inline]
    pub(super) fn object(this: &Self) -> Object {
        this.object
    }

    /// The object that the reference in a cell refers to, if there is one. It stays the cell's.
    #[inline]
    pub(super) fn object_in(cell: &Cell<Option<Self>>) -> Option<Object> {
        // SAFETY: nobody has a reference to what is in a cell that nobody has exclusively, and nothing is called here.
        unsafe { (*cell.as_ptr()).as_ref() }.map(Self::object)
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the object is alive while `self` is.
        unsafe { self.object.header() }
    }

    /// How many references there are.
    #[inline]
    #[must_use]
    pub fn count(this: &Self) -> Count {
        Counting::SATURATING.read(this.header().count.get().into())
    }

    /// Lets the object live for ever: neither its memory nor that of its heap is ever given back.
    pub fn immortalize(this: &Self) {
        // SAFETY: it is alive while `this` is.
        unsafe { immortalize(this.object) };
    }

    /// Whether both refer to the same object.
    #[inline]
    #[must_use]
    pub fn ptr_eq(one: &Self, other: &Self) -> bool {
        one.object == other.object
    }

    /// The same reference without the type.
    #[inline]
    #[must_use]
    pub fn as_any(this: &Self) -> &AnyRef {
        // SAFETY: both are transparent around a pointer to an object.
        unsafe { &*core::ptr::from_ref(this).cast::<AnyRef>() }
    }

    /// The same reference without the type.
    #[inline]
    #[must_use]
    pub fn into_any(this: Self) -> AnyRef {
        let this = ManuallyDrop::new(this);
        // SAFETY: the reference that was counted for `this`, which is not dropped, is handed over.
        unsafe { AnyRef::from_object(this.object) }
    }

    /// A weak reference. All that are made by this and refer to the same object are one, and calls nothing.
    #[must_use]
    pub fn downgrade(this: &Self) -> Weak<T> {
        Weak::plain(this)
    }

    /// A weak reference of its own with a callback, which runs when the object dies: the newest first,
    /// when all have been cleared, and while the value is still whole (though nobody can reach it).
    ///
    /// If all clones of the weak reference are dropped before, it is forgotten.
    #[must_use]
    pub fn watch(this: &Self, callback: impl FnOnce() + 'static) -> Weak<T> {
        Weak::watching(this, callback)
    }

    /// The heap that it lives in.
    #[must_use]
    pub fn heap(this: &Self) -> PoolHeap {
        PoolHeap::of(Self::as_any(this))
    }
}

impl<T: Trace> Deref for Ref<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the value was written when the object was born, is not dropped before the last reference
        // is, and only shared references to it are given out.
        unsafe { self.object.value::<T>().as_ref() }
    }
}

impl<T: Trace> Clone for Ref<T> {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: the object is alive while `self` is, and the new reference is counted.
        unsafe {
            self.object.increment();
            Self::from_object(self.object)
        }
    }
}

impl<T: Trace> Drop for Ref<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `self` was counted, and is no more; whoever takes the count to zero lets the object die.
        unsafe {
            if self.object.decrement() {
                die::<T>(self.object);
            }
        }
    }
}

impl<T: Trace> PartialEq for Ref<T> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        Self::ptr_eq(self, other)
    }
}

impl<T: Trace> Eq for Ref<T> {}

impl<T: Trace> Hash for Ref<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.object.0.hash(state);
    }
}

/// The type and the address: contents may lead round in circles.
impl<T: Trace> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::as_any(self).fmt(f)
    }
}

impl<T: Trace> fmt::Pointer for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.0.fmt(f)
    }
}
