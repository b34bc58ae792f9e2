//! How an object dies: the phases of [`Deaths`](crate::Deaths), by Rust's own nesting, which the trashcan
//! bounds.
//!
//! Each phase that runs foreign code (the finalizer, callbacks, `Drop`) is followed by a guard that does
//! what has to come after it, whether it returns or unwinds.

use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use super::object::{FINALIZED, IMMORTAL, Object};
use super::pointer::Ref;
use super::shared::{Core, LEAF_NESTING, NESTING, TRAVERSING, drain, release};
use super::trace::Trace;
use super::weak;

/// Lets an object die, or deposits it.
///
/// # Safety
///
/// The object is a `T`, its count has come to zero, and this is called once for that.
pub(super) unsafe fn die<T: Trace>(object: Object) {
    // SAFETY: an object at zero is there until it is freed, below. The core is there until `End` is
    // dropped, and the reference to it is not used by then.
    let (core, depth) = unsafe { (object.core(), object.core().as_ref().depth.get()) };
    let limit = if core::mem::needs_drop::<T>() { NESTING } else { LEAF_NESTING };
    if depth >= limit {
        // SAFETY: as above.
        unsafe { core.as_ref() }.deposit(object);
        return;
    }
    // SAFETY: as above.
    unsafe { core.as_ref() }.depth.set(depth + 1);
    let mut end = End { core, depth, freed: false };
    let rest = Rest::<T> { object, end: &mut end, type_: core::marker::PhantomData };
    // SAFETY: the object is there; it counts one reference, which is that of `this`, and `Rest` takes it
    // back.
    unsafe {
        let header = object.header();
        if header.bits.get() & FINALIZED == 0 {
            header.bits.set(header.bits.get() | FINALIZED);
            header.count.set(1);
            let this = ManuallyDrop::new(Ref::<T>::from_object(object));
            T::finalize(&this);
        } else {
            header.count.set(1);
        }
    }
    drop(rest);
}

/// What follows the finalizer. The object counts one reference that nobody has.
struct Rest<'a, T: Trace> {
    object: Object,
    end: &'a mut End,
    type_: core::marker::PhantomData<T>,
}

impl<T: Trace> Drop for Rest<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let object = self.object;
        // SAFETY: the object is there, and one reference was counted for the finalizer.
        if !unsafe { object.decrement() } {
            // Resurrected.
            return;
        }
        self.end.freed = true;
        let memory = Memory(object, self.end.core);
        let value = Value::<T>(object, core::marker::PhantomData);
        // SAFETY: the object is there; nobody has a reference to it, which is what clearing is for.
        unsafe {
            if object.header().bits.get() != FINALIZED {
                weak::clear(object);
            }
        }
        drop(value);
        drop(memory);
    }
}

/// Drops the value of a dead object.
struct Value<T>(Object, core::marker::PhantomData<T>);

impl<T> Drop for Value<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the value was written when the object was born; nobody has a reference to the object
        // or can get one, since its weak references are cleared; this is done once.
        unsafe { self.0.value::<T>().drop_in_place() };
    }
}

/// Frees the memory of a dead object.
struct Memory(Object, NonNull<Core>);

impl Drop for Memory {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the type says how the block was allocated, and where the header is in it; the value is
        // dropped, so this is the last use of the object; the core outlives the object.
        unsafe {
            let ty = self.0.header().ty.as_ref();
            let block = self.0.0.cast::<u8>().sub(ty.info.room);
            self.1.as_ref().free(block, ty.class, ty.info.layout);
        }
    }
}

/// The end of a death.
struct End {
    core: NonNull<Core>,
    /// As it was before.
    depth: usize,
    /// Whether the object is gone, rather than resurrected.
    freed: bool,
}

impl Drop for End {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the object is counted still if it is gone, and is there if it is resurrected (and
        // `drain` retains the core); the core is not used after its release.
        unsafe {
            let core = self.core.as_ref();
            core.depth.set(self.depth);
            if self.depth == 0 && core.has_deposits() {
                drain(self.core);
            }
            if self.freed {
                release(self.core);
            }
        }
    }
}

/// While it is there, deaths in this heap wait.
pub(super) struct Traversing(NonNull<Core>);

impl Traversing {
    /// # Safety
    ///
    /// The core is needed by somebody while `self` is there.
    pub(super) unsafe fn new(core: NonNull<Core>) -> Self {
        // SAFETY: by contract.
        let depth = unsafe { &core.as_ref().depth };
        depth.set(depth.get() + TRAVERSING);
        Self(core)
    }
}

impl Drop for Traversing {
    fn drop(&mut self) {
        // SAFETY: by the contract of `new`.
        unsafe {
            let core = self.0.as_ref();
            core.depth.set(core.depth.get() - TRAVERSING);
            if core.depth.get() == 0 && core.has_deposits() {
                drain(self.0);
            }
        }
    }
}

/// Makes an object immortal.
///
/// # Safety
///
/// Somebody holds a reference to it.
pub(super) unsafe fn immortalize(object: Object) {
    // SAFETY: by contract.
    unsafe { object.header().count.set(IMMORTAL) };
}
