//! How an object dies: the phases of [`Deaths`](crate::Deaths), by Rust's own nesting, which the trashcan
//! bounds.
//!
//! Phases run foreign code (the finalizer, callbacks, `Drop`). Those that follow come whether it returns or unwinds.
#![allow(clippy::inline_always, reason = "the phases of a death are one function, but read as several")]

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use super::held::{AHEAD, Progress};
use super::object::{FINALIZED, IMMORTAL, Object, Of};
use super::pointer::Ref;
use super::shared::{Core, LEAF_NESTING, NESTING, TRAVERSING, drain, release};
use super::trace::Trace;
use super::weak;

/// Lets an object die, or deposits it.
///
/// Out of line where a reference is dropped: most are not the last.
///
/// # Safety
///
/// The object is a `T`, its count has come to zero, and this is called once for that.
#[inline(never)]
pub(super) unsafe fn die<T: Trace>(object: Object) {
    // SAFETY: an object at zero is there until it is freed. The core is there until the death has ended, and the
    // references to it end with the statements.
    let (core, depth) = unsafe { (object.core(), object.core().as_ref().depth.get()) };
    let limit = if core::mem::needs_drop::<T>() { NESTING } else { LEAF_NESTING };
    if depth >= limit {
        // SAFETY: as above.
        unsafe { core.as_ref() }.deposit(object);
        return;
    }
    // SAFETY: as above. The reference that is counted is the finalizer's.
    unsafe {
        core.as_ref().depth.set(depth + 1);
        object.header().count.set(1);
    }
    Death::<T> { object, core, next: Phase::Finalizer, room: Of::<T>::ROOM, type_: PhantomData }.go_on();
}

/// Lets objects die that nobody refers to but who holds them, from where this has come to on, as long as they are of one type:
/// nobody is told of it. The others are put in front.
///
/// # Safety
///
/// The next object is a `T`. All have numbers in one heap, whose core somebody needs besides; of those [before and
/// behind](Progress) a reference is counted each, that belongs to the caller, who does nothing with them meanwhile.
pub(super) unsafe fn let_die<T: Trace>(objects: &[Cell<Object>], progress: &Progress) {
    let Some(first) = objects.get(progress.at.get()).map(Cell::get) else { return };
    // SAFETY: an object is there until it is freed, since it is held, and so are its type and the core.
    let (core, ty) = unsafe { (first.core().as_ref(), first.header().ty) };
    let mut deaths = Deaths::new(core);
    while let Some(object) = objects.get(progress.at.get()).map(Cell::get) {
        if core.depth.get() > NESTING {
            // One of them has begun to look.
            return;
        }
        if let Some(later) = objects.get(progress.at.get() + AHEAD) {
            later.get().prefetch();
        }
        // SAFETY: as above; all have numbers.
        let (header, in_front) = unsafe { (object.header(), object.room()) };
        if header.ty != ty {
            return;
        }
        progress.at.set(progress.at.get() + 1);
        if header.count.get() != 1 {
            if let Some(place) = objects.get(progress.kept.get()) {
                place.set(object);
                progress.kept.set(progress.kept.get() + 1);
            }
            continue;
        }
        progress.died.set(progress.died.get() + 1);
        header.count.set(0);
        if in_front.bits.get() > FINALIZED {
            // SAFETY: the only reference to it was the caller's; it is a `T`, as the first one is, and has a number.
            unsafe { die_alone::<T>(object, core) };
            continue;
        }
        if let Some(number) = in_front.number {
            core.numbers.borrow_mut().remove(number);
        }
        // SAFETY: the same; it has no number any more, and no weak references.
        Dead::<T> { object, core, type_: PhantomData }.go_on();
        if core.has_deposits() && core.depth.get() == 1 {
            // It is over, and another one begins.
            drop(deaths);
            deaths = Deaths::new(core);
        }
    }
}

/// While it is there, a death is going on in the heap of a core.
struct Deaths<'a>(&'a Core);

impl<'a> Deaths<'a> {
    fn new(core: &'a Core) -> Self {
        core.depth.set(core.depth.get() + 1);
        Self(core)
    }
}

impl Drop for Deaths<'_> {
    fn drop(&mut self) {
        if self.0.leave(1) {
            drain(self.0.into());
        }
    }
}

/// An object at zero that nobody can reach any more, a `T` with room for a number, until its memory is freed. The core is needed by
/// somebody besides.
struct Dead<'a, T: Trace> {
    object: Object,
    core: &'a Core,
    type_: PhantomData<T>,
}

impl<T: Trace> Dead<'_, T> {
    #[inline(always)]
    fn go_on(self) {
        if core::mem::needs_drop::<T>() {
            // SAFETY: the value was written when the object was born; nobody can reach it; this is done once.
            unsafe { self.object.value::<T>().drop_in_place() };
        }
        // Frees it.
        drop(self);
    }
}

/// Also if it unwinds.
impl<T: Trace> Drop for Dead<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the value is dropped, so this is the last use of the object; the block, which begins so much in front of it,
        // was allocated for its type. Both the type and the core outlive it; the core is needed by one less, but by somebody.
        unsafe {
            let ty = self.object.header().ty.as_ref();
            self.core.forget_one();
            self.core.free(ty, self.object.0.cast::<u8>().sub(Of::<T>::NUMBERED_ROOM));
        }
    }
}

/// The death of one that has weak references, which is at zero already.
///
/// # Safety
///
/// It is a `T` with a number, of this core, and nobody has a reference to it. A death is said to be going on.
#[cold]
#[inline(never)]
unsafe fn die_alone<T: Trace>(object: Object, core: &Core) {
    core.depth.set(core.depth.get() + 1);
    let room = Of::<T>::NUMBERED_ROOM;
    Death::<T> { object, core: core.into(), next: Phase::Weak, room, type_: PhantomData }.go_on();
}

/// What happens when an object dies, in order. In each but the last foreign code may run, and unwind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// The finalizer, if it has not run.
    Finalizer,
    /// If it has not brought the object back to life, whoever looks after it is told.
    Part,
    /// It has no number any more, and its weak references are cleared.
    Weak,
    /// The value is dropped.
    Value,
    /// The memory is freed (which a source of arenas may hear of).
    Memory,
    /// The death ends; if it was the outermost, those that were put off follow.
    End,
    /// The core is needed by one less.
    Release,
}

/// A death that goes on, from the phase that is next.
///
/// The object is there and counts one reference, which is nobody's, until [`Phase::Part`] gives that up; it is a `T`; the
/// core's depth counts this death.
struct Death<T: Trace> {
    object: Object,
    core: NonNull<Core>,
    next: Phase,
    /// Bytes of its block in front of it; known when whoever looks after it is told.
    room: usize,
    type_: PhantomData<T>,
}

impl<T: Trace> Death<T> {
    /// Goes through the phases that are left.
    #[inline(always)]
    fn go_on(mut self) {
        let (object, core) = (self.object, self.core);
        if self.next == Phase::Finalizer {
            self.next = Phase::Part;
            // SAFETY: the object is there and a `T`; its one reference is lent.
            unsafe {
                if T::FINALIZES && bits_of::<T>(object).get() & FINALIZED == 0 {
                    T::finalize(&ManuallyDrop::new(Ref::<T>::from_object(object)));
                }
            }
        }
        if self.next == Phase::Part {
            self.next = Phase::Weak;
            // SAFETY: the object is there, and its one reference is given up; if it was not the last, the object
            // stays, and needs the core. What has that bit has a room.
            unsafe {
                let dead = object.decrement();
                if !dead {
                    // Resurrected. There is no second finalizer.
                    let bits = bits_of::<T>(object);
                    bits.set(bits.get() | FINALIZED);
                    ManuallyDrop::new(self).end();
                    return;
                }
                if T::REFERS && object.is_numbered() {
                    self.room = Of::<T>::NUMBERED_ROOM;
                    let (number, keeper) = (object.room().number, &core.as_ref().keeper);
                    if let (Some(number), Some(keeper)) = (number, keeper) {
                        keeper.gone(number, object.word());
                    }
                }
            }
        }
        if self.next == Phase::Weak {
            self.next = Phase::Value;
            // SAFETY: the object is there, dead, and stays there; what has that bit has a room.
            unsafe {
                let mut bits = object.header().word.get();
                if T::REFERS && object.is_numbered() {
                    bits = object.room().bits.get();
                    if let Some(number) = object.room().number {
                        core.as_ref().numbers.borrow_mut().remove(number);
                    }
                }
                if bits > FINALIZED {
                    weak::clear(object);
                }
            }
        }
        if self.next == Phase::Value {
            self.next = Phase::Memory;
            // SAFETY: the value was written when the object was born; nobody has a reference to the object
            // or can get one, since its weak references are cleared; this is done once.
            unsafe { object.value::<T>().drop_in_place() };
        }
        if self.next == Phase::Memory {
            self.next = Phase::End;
            // SAFETY: the value is dropped, so this is the last use of the object; the block, which begins so much in
            // front of it, was allocated for its type. Both the type and the core outlive it.
            unsafe {
                let ty = object.header().ty.as_ref();
                core.as_ref().free(ty, object.0.cast::<u8>().sub(self.room));
            }
        }
        if self.next == Phase::End {
            self.next = Phase::Release;
            self.end();
        }
        core::mem::forget(self);
        // SAFETY: the object was counted, and is gone; the core is not used afterwards.
        unsafe { release(core) };
    }

    #[inline(always)]
    fn end(&self) {
        // SAFETY: the object is counted still, so the core is there; references to it end with the statements.
        let deposits = unsafe { self.core.as_ref() }.leave(1);
        if deposits {
            drain(self.core);
        }
    }
}

/// The bits of a `T`; what cannot refer has no number.
///
/// # Safety
///
/// The object is a `T`, and is not freed while the result is in use.
#[inline(always)]
unsafe fn bits_of<'a, T: Trace>(object: Object) -> &'a Cell<u32> {
    // SAFETY: by contract.
    unsafe { if T::REFERS { object.bits() } else { &object.header().word } }
}

/// A phase unwinds: the others follow.
impl<T: Trace> Drop for Death<T> {
    #[inline(always)]
    fn drop(&mut self) {
        unwind(Self { type_: PhantomData, ..*self });
    }
}

#[cold]
#[inline(never)]
fn unwind<T: Trace>(death: Death<T>) {
    death.go_on();
}

/// While it is there, deaths in this heap wait.
///
/// It needs what is borrowed for so long also when it is dropped.
pub(super) struct Traversing<'a>(NonNull<Core>, PhantomData<&'a Core>);

impl Traversing<'_> {
    /// # Panics
    ///
    /// If 2³² of them are there, most of them forgotten.
    ///
    /// # Safety
    ///
    /// The core is needed by somebody while `self` is there.
    pub(super) unsafe fn new(core: NonNull<Core>) -> Self {
        // SAFETY: by contract.
        let depth = unsafe { &core.as_ref().depth };
        let Some(more) = depth.get().checked_add(TRAVERSING) else {
            panic!("a heap is looked at too often at once");
        };
        depth.set(more);
        Self(core, PhantomData)
    }
}

impl Drop for Traversing<'_> {
    fn drop(&mut self) {
        // SAFETY: by the contract of `new`.
        if unsafe { self.0.as_ref() }.leave(TRAVERSING) {
            drain(self.0);
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
