//! [`AnyRef`]: a counted pointer to a value of any type.

use core::any::TypeId;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::mem::ManuallyDrop;

use super::life::Traversing;
use super::object::{Header, Object, Type};
use super::pointer::Ref;
use super::referents::Show;
use super::trace::{Trace, Visitor};
use crate::count::{Count, Counting};

/// A [`Ref`] whose type is not known: as wide, counted as that.
///
/// ```
/// use rc::{AnyRef, PoolHeap, Ref};
///
/// let heap = PoolHeap::default();
/// let any: AnyRef = Ref::into_any(heap.alloc(42_u64));
/// assert!(any.downcast_ref::<String>().is_none());
/// assert_eq!(*any.downcast::<u64>().unwrap(), 42);
/// ```
#[repr(transparent)]
pub struct AnyRef {
    /// Alive: `self` is counted.
    object: Object,
}

impl AnyRef {
    /// # Safety
    ///
    /// A reference was counted that nobody else has.
    #[inline]
    pub(super) unsafe fn from_object(object: Object) -> Self {
        Self { object }
    }

    #[inline]
    pub(super) fn object(&self) -> Object {
        self.object
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the object is alive while `self` is.
        unsafe { self.object.header() }
    }

    #[inline]
    fn ty(&self) -> &Type {
        // SAFETY: a type lives as long as its heap's core, and that as long as the object.
        unsafe { self.header().ty.as_ref() }
    }

    /// Whether the object is a `T`.
    #[inline]
    #[must_use]
    pub fn is<T: Trace>(&self) -> bool {
        self.ty().info.id == TypeId::of::<T>()
    }

    /// The same reference, if the object is a `T`.
    ///
    /// # Errors
    ///
    /// `self`, if it is not.
    #[inline]
    pub fn downcast<T: Trace>(self) -> Result<Ref<T>, Self> {
        if self.is::<T>() {
            let this = ManuallyDrop::new(self);
            // SAFETY: it is a `T`, and the reference counted for `this`, which is not dropped, is handed over.
            Ok(unsafe { Ref::from_object(this.object) })
        } else {
            Err(self)
        }
    }

    /// The same reference, if the object is a `T`.
    #[inline]
    #[must_use]
    pub fn downcast_ref<T: Trace>(&self) -> Option<&Ref<T>> {
        // SAFETY: it is a `T`, and both are transparent around a pointer to an object.
        self.is::<T>().then(|| unsafe { &*core::ptr::from_ref(self).cast::<Ref<T>>() })
    }

    /// How many references there are.
    #[inline]
    #[must_use]
    pub fn count(&self) -> Count {
        Counting::SATURATING.read(self.header().count.get().into())
    }

    /// Whether both refer to the same object.
    #[inline]
    #[must_use]
    pub fn ptr_eq(one: &Self, other: &Self) -> bool {
        one.object == other.object
    }

    /// The name of the object's type, for people.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        (self.ty().info.name)()
    }

    /// Whether the object's type [can refer](Trace::REFERS).
    #[inline]
    #[must_use]
    pub fn refers(&self) -> bool {
        self.ty().info.refers
    }

    /// Calls `visit` with each reference that the object says it owns.
    ///
    /// Meanwhile nothing dies in this heap: references may be dropped, and objects whose last one that was
    /// die when this returns.
    pub fn traverse(&self, mut visit: impl FnMut(&AnyRef)) {
        if !self.refers() {
            return;
        }
        // SAFETY: the object, which `self` keeps alive, needs the core.
        unsafe {
            let _nothing_dies = Traversing::new(self.object.core());
            self.object.traverse(&mut Visitor::showing(&mut Show(&mut visit)));
        }
    }

    /// Asks the object to give up the references that it owns.
    pub fn clear_refs(&self) {
        // SAFETY: the object is alive while `self` is, and of the type that its header says.
        unsafe { (self.ty().info.clear_all)(&[self.object], &mut 0) };
    }
}

impl Clone for AnyRef {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: the object is alive while `self` is, and the new reference is counted.
        unsafe {
            self.object.increment();
            Self::from_object(self.object)
        }
    }
}

impl Drop for AnyRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `self` was counted, and is no more; whoever takes the count to zero lets the object die,
        // as what its header says it is.
        unsafe {
            if self.object.decrement() {
                (self.object.header().ty.as_ref().info.die)(self.object);
            }
        }
    }
}

impl<T: Trace> From<Ref<T>> for AnyRef {
    fn from(reference: Ref<T>) -> Self {
        Ref::into_any(reference)
    }
}

impl PartialEq for AnyRef {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        Self::ptr_eq(self, other)
    }
}

impl Eq for AnyRef {}

impl Hash for AnyRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.object.0.hash(state);
    }
}

impl fmt::Debug for AnyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:p}", self.type_name(), self.object.0)
    }
}
