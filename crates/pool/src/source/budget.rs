//! Arenas until there are no more: for testing what happens then.

use alloc::collections::BTreeSet;
use core::alloc::Layout;
use core::cell::{Cell, RefCell};
use core::ptr::NonNull;

use super::ArenaSource;

/// Passes on the arenas of another source, but only so many at a time, and none at attempts that
/// were chosen to fail.
///
/// ```
/// # #[cfg(feature = "bump")] {
/// use pool::{Budget, Bump, Pool, preset};
///
/// let geometry = preset("cpython-3.10").unwrap().geometry;
/// let pool = Pool::with_source(geometry, Budget::new(Bump::new(), 0));
/// let class = geometry.class_of(100).unwrap();
/// assert!(pool.allocate_class(class).is_none());
/// pool.source().set_limit(1);
/// assert!(pool.allocate_class(class).is_some());
/// assert_eq!((pool.source().attempts(), pool.source().live()), (2, 1));
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Budget<S> {
    inner: S,
    limit: Cell<usize>,
    live: Cell<usize>,
    attempts: Cell<u64>,
    failing: RefCell<BTreeSet<u64>>,
}

impl<S> Budget<S> {
    /// At most `limit` arenas of `inner` at a time.
    #[must_use]
    pub fn new(inner: S, limit: usize) -> Self {
        Self {
            inner,
            limit: Cell::new(limit),
            live: Cell::new(0),
            attempts: Cell::new(0),
            failing: RefCell::new(BTreeSet::new()),
        }
    }

    /// Changes how many arenas there may be at a time; those above stay until they are released.
    pub fn set_limit(&self, limit: usize) {
        self.limit.set(limit);
    }

    /// Lets the attempt of this number (the first is 0) to acquire an arena fail.
    pub fn fail_attempt(&self, attempt: u64) {
        self.failing.borrow_mut().insert(attempt);
    }

    /// Attempts to acquire an arena so far, successful or not.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.attempts.get()
    }

    /// Arenas acquired and not released.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.get()
    }

    /// The source whose arenas these are.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

// SAFETY: every arena is one of `inner`, released where it came from; the counters call nobody.
unsafe impl<S: ArenaSource> ArenaSource for Budget<S> {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        let attempt = self.attempts.get();
        self.attempts.set(attempt + 1);
        if self.live.get() >= self.limit.get() || self.failing.borrow().contains(&attempt) {
            return None;
        }
        let base = self.inner.acquire(layout)?;
        self.live.set(self.live.get() + 1);
        Some(base)
    }

    unsafe fn release(&self, base: NonNull<u8>, layout: Layout) {
        self.live.set(self.live.get() - 1);
        // SAFETY: the contract is the same, and the arena is from `inner`.
        unsafe { self.inner.release(base, layout) };
    }
}
