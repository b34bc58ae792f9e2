//! [`Slot`]: a reference that can be set through a shared reference to its owner.
#![forbid(unsafe_code)]

use core::cell::Cell;
use core::fmt;

use super::any::AnyRef;
use super::pointer::Ref;
use super::trace::{Trace, Visitor};

/// An optional [`Ref`] that can be changed through a shared reference: what objects refer to others by.
///
/// While it is [traversed](Trace::traverse) it reads as empty.
pub struct Slot<T: Trace>(Cell<Option<Ref<T>>>);

impl<T: Trace> Slot<T> {
    /// Refers to nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Cell::new(None))
    }

    /// Refers to this.
    #[must_use]
    pub const fn new(reference: Ref<T>) -> Self {
        Self(Cell::new(Some(reference)))
    }

    /// One more reference to what it refers to.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<Ref<T>> {
        let own = self.0.take();
        let more = own.clone();
        self.0.set(own);
        more
    }

    /// Refers to something else. What it referred to before is dropped when that is done.
    #[inline]
    pub fn set(&self, reference: impl Into<Option<Ref<T>>>) {
        drop(self.replace(reference));
    }

    /// Refers to something else; what it referred to before.
    #[inline]
    pub fn replace(&self, reference: impl Into<Option<Ref<T>>>) -> Option<Ref<T>> {
        self.0.replace(reference.into())
    }

    /// Refers to nothing; what it referred to before.
    #[inline]
    pub fn take(&self) -> Option<Ref<T>> {
        self.0.take()
    }
}

impl<T: Trace> Default for Slot<T> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T: Trace> From<Option<Ref<T>>> for Slot<T> {
    fn from(reference: Option<Ref<T>>) -> Self {
        Self(Cell::new(reference))
    }
}

impl<T: Trace> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl<T: Trace> Trace for Slot<T> {
    const FINALIZES: bool = false;

    #[inline]
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        if let Some(visit) = visitor.visit_cell(&self.0) {
            self.lend(visit);
        }
    }

    #[inline]
    fn clear_refs(&self) {
        drop(self.take());
    }
}

impl<T: Trace> Slot<T> {
    /// Takes the reference out while it is visited: not cloned, as whoever is visited may look at its count.
    #[inline(never)]
    fn lend(&self, visit: &mut dyn FnMut(&AnyRef)) {
        /// Puts a reference back where it was, unless something else has been put there.
        struct Back<'a, T: Trace>(&'a Slot<T>, Option<Ref<T>>);

        impl<T: Trace> Drop for Back<'_, T> {
            fn drop(&mut self) {
                if let Some(newer) = self.0.take() {
                    self.0.set(newer);
                } else {
                    self.0.set(self.1.take());
                }
            }
        }

        let out = Back(self, self.take());
        if let Some(reference) = &out.1 {
            visit(Ref::as_any(reference));
        }
    }
}
