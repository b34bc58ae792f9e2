//! Where arenas come from.

use alloc::boxed::Box;
use core::alloc::Layout;
use core::ptr::NonNull;

pub(crate) mod budget;
#[cfg(feature = "bump")]
pub(crate) mod bump;
pub(crate) mod heap;
#[cfg(feature = "os")]
pub(crate) mod os;
pub(crate) mod replay;
pub(crate) mod retain;
mod span;

/// A supplier of arenas.
///
/// Methods take `&self`, so that [`Pool::source`](crate::Pool::source) can lend the source while
/// the pool is in use.
///
/// # Safety
///
/// Implementers promise:
///
/// 1. memory returned by [`acquire`](Self::acquire) has the size and the alignment of the layout;
/// 2. it may be read (once written) and written through the returned pointer, until it is given to
///    [`release`](Self::release) or the source is dropped; moving the source does not move it;
/// 3. during that time it is used by nobody else, and overlaps no other arena or object;
/// 4. neither method calls back into the pool that asks.
///
/// They need not promise where it is (a pool wastes one of its pools if the address is not a
/// multiple of the pool size, and refuses addresses above 48 bits) nor what it holds.
pub unsafe trait ArenaSource {
    /// Memory for an arena, or `None` if there is none to be had now.
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Takes an arena back.
    ///
    /// # Safety
    ///
    /// `base` was returned by `acquire` of `self` for the same layout, has not been released since
    /// and is no longer used.
    unsafe fn release(&self, base: NonNull<u8>, layout: Layout);
}

// SAFETY: every promise is kept by the source behind the reference; it outlives the reference.
unsafe impl<S: ArenaSource + ?Sized> ArenaSource for &S {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        (**self).acquire(layout)
    }

    unsafe fn release(&self, base: NonNull<u8>, layout: Layout) {
        // SAFETY: the contract is the same.
        unsafe { (**self).release(base, layout) };
    }
}

// SAFETY: every promise is kept by the source in the box, which is dropped with it.
unsafe impl<S: ArenaSource + ?Sized> ArenaSource for Box<S> {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        (**self).acquire(layout)
    }

    unsafe fn release(&self, base: NonNull<u8>, layout: Layout) {
        // SAFETY: the contract is the same.
        unsafe { (**self).release(base, layout) };
    }
}

/// The source of [`Pool::new`](crate::Pool::new): the operating system if the feature `os` is on,
/// else the global allocator.
#[cfg(feature = "os")]
pub type DefaultSource = os::Os;
/// The source of [`Pool::new`](crate::Pool::new): the operating system if the feature `os` is on,
/// else the global allocator.
#[cfg(not(feature = "os"))]
pub type DefaultSource = heap::Heap;
