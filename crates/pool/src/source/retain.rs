//! Arenas that are not given back at once.

use alloc::vec::Vec;
use core::alloc::Layout;
use core::cell::{Cell, RefCell};
use core::ptr::NonNull;

use super::ArenaSource;

/// Passes on the arenas of another source, and keeps up to so many bytes of those that come back, with their
/// memory, for the next requests.
///
/// A pool releases an arena as soon as it is empty, and some sources hand its memory to the system then: a program that
/// grows and shrinks pays for the same pages again and again. This is what it costs not to: the arenas that
/// are kept are released when the source is dropped.
///
/// ```
/// # #[cfg(feature = "bump")] {
/// use pool::{Budget, Bump, Pool, Retain, preset};
///
/// let geometry = preset("cpython-3.8").unwrap().geometry;
/// let source = Retain::new(Budget::new(Bump::new(), 10), geometry.arena_size());
/// let pool = Pool::with_source(geometry, source);
/// let class = geometry.class_of(100).unwrap();
/// for _ in 0..3 {
///     let block = pool.allocate_class(class).unwrap();
///     // SAFETY: just allocated, and not used.
///     unsafe { pool.free_class(block) };
/// }
/// assert_eq!(pool.source().inner().attempts(), 1);
/// # }
/// ```
#[derive(Debug)]
pub struct Retain<S: ArenaSource> {
    inner: S,
    limit: usize,
    bytes: Cell<usize>,
    /// Last in, first out.
    kept: RefCell<Vec<(NonNull<u8>, Layout)>>,
}

impl<S: ArenaSource> Retain<S> {
    /// Keeps at most `limit` bytes of arenas that nobody uses.
    #[must_use]
    pub fn new(inner: S, limit: usize) -> Self {
        Self { inner, limit, bytes: Cell::new(0), kept: RefCell::new(Vec::new()) }
    }

    /// Bytes of the arenas that are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.bytes.get()
    }

    /// The source whose arenas these are.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

// SAFETY: the pointers lead to arenas, which belong to the source that they are from and to no thread.
unsafe impl<S: ArenaSource + Send> Send for Retain<S> {}

// SAFETY: every arena is one of `inner`, lent to one pool at a time: one that is kept was released by whoever had it,
// and is not kept any more when it is lent; it is lent again for the same layout, and not released to `inner` before it
// is kept no longer. No pool is called.
unsafe impl<S: ArenaSource> ArenaSource for Retain<S> {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        let mut kept = self.kept.borrow_mut();
        if let Some(index) = kept.iter().rposition(|&(_, cut_for)| cut_for == layout) {
            self.bytes.set(self.bytes.get() - layout.size());
            return Some(kept.remove(index).0);
        }
        drop(kept);
        self.inner.acquire(layout)
    }

    unsafe fn release(&self, base: NonNull<u8>, layout: Layout) {
        // No more than the limit at any time, and no less than nothing: no overflow.
        if layout.size() <= self.limit - self.bytes.get() {
            self.bytes.set(self.bytes.get() + layout.size());
            self.kept.borrow_mut().push((base, layout));
        } else {
            // SAFETY: the contract is the same, and the arena is from `inner`.
            unsafe { self.inner.release(base, layout) };
        }
    }
}

impl<S: ArenaSource> Drop for Retain<S> {
    fn drop(&mut self) {
        for (base, layout) in self.kept.get_mut().drain(..) {
            // SAFETY: acquired from `inner` for this layout, given back by whoever had it, released once.
            unsafe { self.inner.release(base, layout) };
        }
    }
}
