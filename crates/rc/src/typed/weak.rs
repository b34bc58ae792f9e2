//! [`Weak`]: knows an object without keeping it alive.
//!
//! A weak reference is a record in the global allocator. The records of an object form a list, the shared one
//! without callback first, then the newest first; [`Heads`](super::heads) knows where it begins.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use alloc::boxed::Box;
use alloc::vec::{IntoIter, Vec};

use super::object::Object;
use super::pointer::Ref;
use super::shared::{Core, release};
use super::trace::Trace;

type Callback = Box<dyn FnOnce()>;

/// What all clones of a weak reference share.
pub(super) struct Record {
    /// How many clones there are, and callers.
    clones: Cell<usize>,
    /// Until it dies.
    target: Cell<Option<Object>>,
    next: Cell<Option<NonNull<Record>>>,
    previous: Cell<Option<NonNull<Record>>>,
    /// Needed by this record.
    core: NonNull<Core>,
    watches: bool,
    callback: Cell<Option<Callback>>,
}

/// A reference to a [`Ref`]'s object that does not keep it alive: one pointer wide.
///
/// It is cleared when the object dies, after the [finalizer](Trace::finalize) and before anything of it is
/// gone.
///
/// ```
/// use rc::{PoolHeap, Ref};
///
/// let heap = PoolHeap::default();
/// let text = heap.alloc(String::from("short-lived"));
/// let weak = Ref::downgrade(&text);
/// let _watch = Ref::watch(&text, || println!("it is gone"));
/// assert_eq!(weak.upgrade().as_ref(), Some(&text));
/// drop(text);
/// assert!(weak.upgrade().is_none());
/// ```
pub struct Weak<T: Trace> {
    record: Shared,
    /// As [`Ref`] has it.
    type_: PhantomData<fn(T) -> T>,
}

/// Counted.
struct Shared(NonNull<Record>);

impl<T: Trace> Weak<T> {
    pub(super) fn plain(target: &Ref<T>) -> Self {
        let object = Ref::object(target);
        // SAFETY: the object is alive, and so are its core and the records on its list.
        let head = unsafe { object.core().as_ref().heads.borrow().get(object.weak()) };
        let record = match head {
            // SAFETY: as above.
            Some(head) if !unsafe { head.as_ref() }.watches => Shared::again(head),
            _ => Shared::new(object, None),
        };
        Self { record, type_: PhantomData }
    }

    pub(super) fn watching(target: &Ref<T>, callback: impl FnOnce() + 'static) -> Self {
        Self { record: Shared::new(Ref::object(target), Some(Box::new(callback))), type_: PhantomData }
    }

    /// A reference to the object, unless it has died, or is dying.
    #[inline]
    #[must_use]
    pub fn upgrade(&self) -> Option<Ref<T>> {
        let object = self.record.get().target.get()?;
        // SAFETY:
        // 1. a target is not freed: records are cleared before, and before the value is dropped;
        // 2. at zero it waits for its death, and stays dead; else the new reference is counted;
        // 3. it is a `T`, as it was when `self` was made.
        unsafe {
            if object.header().count.get() == 0 {
                return None;
            }
            object.increment();
            Some(Ref::from_object(object))
        }
    }

    /// Whether both are clones of one, or of the one that [`Ref::downgrade`] makes.
    #[must_use]
    pub fn ptr_eq(one: &Self, other: &Self) -> bool {
        one.record.0 == other.record.0
    }
}

impl<T: Trace> Clone for Weak<T> {
    fn clone(&self) -> Self {
        Self { record: Shared::again(self.record.0), type_: PhantomData }
    }
}

impl<T: Trace> fmt::Debug for Weak<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.upgrade() {
            Some(object) => write!(f, "weak reference to {object:?}"),
            None => f.write_str("weak reference to nothing"),
        }
    }
}

impl Shared {
    /// A new record on the object's list, which somebody holds a reference to.
    fn new(object: Object, callback: Option<Callback>) -> Self {
        // SAFETY: the object is alive by contract, so its core is; what is on its list is, too.
        unsafe {
            let core = object.core();
            let mut heads = core.as_ref().heads.borrow_mut();
            let number = object.weak();
            let head = heads.get(number);
            // Behind the shared one, if there is one and this is another.
            let watches = callback.is_some();
            let before = head.filter(|head| watches && !head.as_ref().watches);
            let after = before.map_or(head, |before| before.as_ref().next.get());
            let record = NonNull::from(Box::leak(Box::new(Record {
                clones: Cell::new(1),
                target: Cell::new(Some(object)),
                next: Cell::new(after),
                previous: Cell::new(before),
                core,
                watches,
                callback: Cell::new(callback),
            })));
            if let Some(after) = after {
                after.as_ref().previous.set(Some(record));
            }
            match before {
                Some(before) => before.as_ref().next.set(Some(record)),
                None if head.is_some() => heads.set(number, record),
                None => object.set_weak(heads.add(record)),
            }
            core.as_ref().retain();
            Self(record)
        }
    }

    /// One more for a record that is there.
    fn again(record: NonNull<Record>) -> Self {
        // SAFETY: by contract.
        let clones = unsafe { &record.as_ref().clones };
        // 2^64 clones cannot be made, not even by forgetting them.
        clones.set(clones.get() + 1);
        Self(record)
    }

    #[inline]
    fn get(&self) -> &Record {
        // SAFETY: it is there while `self` is.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Shared {
    #[inline]
    fn drop(&mut self) {
        let clones = &self.get().clones;
        clones.set(clones.get() - 1);
        if clones.get() == 0 {
            // SAFETY: this was the last one.
            unsafe { forget(self.0) };
        }
    }
}

/// Takes a record off the list that it is on, and frees it.
///
/// # Safety
///
/// Nobody has it any more.
#[cold]
#[inline(never)]
unsafe fn forget(record: NonNull<Record>) {
    // SAFETY: leaked in `Shared::new`, and freed once; from now on only the list points to it.
    let record = unsafe { Box::from_raw(record.as_ptr()) };
    // SAFETY: a target is there, and what is on its list is; the core is needed by the record, until the end.
    unsafe {
        if let Some(object) = record.target.get() {
            unlink(object, &record);
        }
    }
    let _release = Release(record.core);
    // Drops what the callback owns: foreign code, which finds everything in order.
    drop(record);
}

/// Takes a record off the list of its target.
///
/// # Safety
///
/// The target is there, and what is on its list is; the record is on it.
unsafe fn unlink(object: Object, record: &Record) {
    let (next, previous) = (record.next.take(), record.previous.take());
    // SAFETY: by contract.
    unsafe {
        if let Some(next) = next {
            next.as_ref().previous.set(previous);
        }
        let heads = &object.core().as_ref().heads;
        match (previous, next) {
            (Some(previous), _) => previous.as_ref().next.set(next),
            (None, Some(next)) => heads.borrow_mut().set(object.weak(), next),
            (None, None) => {
                heads.borrow_mut().remove(object.weak());
                object.set_weak(0);
            }
        }
    }
}

/// A weak reference with a callback, cleared: to be [called](Self::call), or forgotten.
pub struct Cleared {
    record: Shared,
}

impl Cleared {
    /// Runs the callback, if it has not run.
    pub fn call(self) {
        if let Some(callback) = self.record.get().callback.take() {
            callback();
        }
    }
}

impl fmt::Debug for Cleared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cleared weak reference")
    }
}

/// Clears the first of an object's weak references, or of those with callbacks. `None` when there is none left; else that
/// which is to be called, if there is something to call.
///
/// # Safety
///
/// The object is there.
pub(super) unsafe fn clear_first(object: Object, calling_only: bool) -> Option<Option<Cleared>> {
    // SAFETY: by contract the object is there, so its core and the records on its list are.
    unsafe {
        let head = object.core().as_ref().heads.borrow().get(object.weak());
        let mut record = head?;
        // Only the first can be without a callback.
        if calling_only && !record.as_ref().watches {
            record = record.as_ref().next.get()?;
        }
        let cleared = record.as_ref();
        unlink(object, cleared);
        cleared.target.set(None);
        Some(cleared.watches.then(|| Cleared { record: Shared::again(record) }))
    }
}

/// Needs a core no longer, whatever happens.
struct Release(NonNull<Core>);

impl Drop for Release {
    fn drop(&mut self) {
        // SAFETY: the record was counted, and is gone.
        unsafe { release(self.0) };
    }
}

/// Clears an object's weak references, then calls their callbacks in order. If one panics, the others are
/// called while that unwinds.
///
/// # Safety
///
/// The object is there and stays there until this returns; it counts no reference.
#[cold]
#[inline(never)]
pub(super) unsafe fn clear(object: Object) {
    /// Calls those that are left, also when it is interrupted.
    struct Calls(IntoIter<Shared>);

    impl Calls {
        fn run(&mut self) {
            for shared in self.0.by_ref() {
                if let Some(callback) = shared.get().callback.take() {
                    callback();
                }
            }
        }
    }

    impl Drop for Calls {
        fn drop(&mut self) {
            self.run();
        }
    }

    let mut calls = Vec::new();
    // SAFETY: by contract the object is there, so its core and the records on its list are.
    unsafe {
        let mut at = object.core().as_ref().heads.borrow_mut().remove(object.weak());
        object.set_weak(0);
        while let Some(record) = at {
            let cleared = record.as_ref();
            at = cleared.next.take();
            cleared.previous.set(None);
            cleared.target.set(None);
            if cleared.watches {
                calls.push(Shared::again(record));
            }
        }
    }
    Calls(calls.into_iter()).run();
}
